"""Where a part of a model file is read, and how much may be read.

In: a file and limits. Out: `Place`, which the readers of graphs, attributes and tensors hand on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from alula.base.errors import LimitError
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.wire import Wire


@dataclass(frozen=True)
class ImportLimits:
    """How large a model may be.

    Attributes:
        nodes: nodes of all graphs and functions together; after inlining, of all graphs again.
        nesting: graphs inside graphs, and functions that call functions; exporters stay below 10.
        dense: bytes that sparse tensors may take when they are written out.
    """

    nodes: int = 250_000
    nesting: int = 16
    dense: int = 1 << 30


@dataclass
class Usage:
    """What has been read of a model so far; owned by one import."""

    nodes: int = 0
    dense: int = 0


@dataclass(frozen=True)
class Place:
    """Where something is read: the file, its external files, and what surrounds it.

    Attributes:
        depth: how many graphs stand around it.
        function: whether it stands in a function, whose nodes may refer to the function's attributes.
    """

    wire: Wire
    files: ExternalFiles
    limits: ImportLimits = ImportLimits()
    usage: Usage = field(default_factory=Usage)
    depth: int = 0
    function: bool = False

    def deeper(self) -> Place:
        """The place of a graph inside this one.

        Raises:
            LimitError: graphs are nested too deep.
        """
        if self.depth >= self.limits.nesting:
            raise LimitError(self.wire.name, f"graphs may be nested {self.limits.nesting} deep", "found more")
        return replace(self, depth=self.depth + 1)

    def spend_dense(self, where: str, size: int) -> None:
        """Count bytes of a sparse tensor that is about to be written out.

        Raises:
            LimitError: they are more than allowed.
        """
        self.usage.dense += size
        if self.usage.dense > self.limits.dense:
            needed = f"sparse tensors may take {self.limits.dense} bytes when written out"
            raise LimitError(where, needed, f"they take {self.usage.dense}")

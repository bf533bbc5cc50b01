"""How a server behaves: address, limits, patience.

In: values. Out: frozen records, checked when made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alula.base.errors import SettingsError
from alula.imaging.picture import DecodeLimits


def _check_positive(name: str, values: dict[str, object]) -> None:
    for field_name, value in values.items():
        if isinstance(value, int | float) and value <= 0:
            raise SettingsError(f"{name}.{field_name}", "needs a number above 0", f"got {value}")


@dataclass(frozen=True)
class WireLimits:
    """What a connection may cost. Sizes in bytes, times in seconds.

    Args:
        body_bytes: largest body; base64 in JSON takes a third more than the picture.
        bodies_bytes: all bodies being received or answered together; beyond it requests get 503.
        head_bytes: largest request line and headers together.
        headers: most header lines.
        connections: most open connections; more are answered 503 and closed.
        idle_seconds: how long a connection may wait between requests.
        read_seconds: how long a request may take from its first byte to its last.
        write_seconds: how long a client may let an answer wait in its socket.
    """

    body_bytes: int = 28 << 20
    bodies_bytes: int = 256 << 20
    head_bytes: int = 16 << 10
    headers: int = 64
    connections: int = 512
    idle_seconds: float = 75.0
    read_seconds: float = 20.0
    write_seconds: float = 20.0

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        _check_positive("WireLimits", vars(self))


@dataclass(frozen=True)
class ServeSettings:
    """All that `run` can be told.

    Args:
        host: address to listen at; the default cannot be reached from other machines.
        port: 0 lets the system choose; the address that was taken is announced.
        model: the model's name in answers and metrics.
        version: its version in answers and metrics; empty leaves it out.
        workers: threads, each with a fork of the session; one decodes while another computes.
        queue: requests that may wait for a worker; more are answered 503.
        deadline_seconds: a request that takes longer is answered 504, and not computed if it still waits.
        drain_seconds: how long a stopping server waits for requests under way.
        decode: limits of pictures.
        wire: limits of connections.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = "model"
    version: str = ""
    workers: int = 2
    queue: int = 64
    deadline_seconds: float = 30.0
    drain_seconds: float = 20.0
    decode: DecodeLimits = field(default_factory=DecodeLimits)
    wire: WireLimits = field(default_factory=WireLimits)

    def __post_init__(self) -> None:
        """Refuse values that no server can work with."""
        _check_positive("ServeSettings", {**vars(self), "port": 1, "queue": self.queue + 1})
        if not 0 <= self.port <= 65535:  # noqa: PLR2004  ports have 16 bits
            raise SettingsError("ServeSettings.port", "needs 0 to 65535", f"got {self.port}")

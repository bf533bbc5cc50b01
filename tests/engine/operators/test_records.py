"""Operator records against the standard's definitions."""

from __future__ import annotations

from typing import Any

import onnx.defs
import pytest
from onnx import helper

from alula.base.errors import UnsupportedError
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.operators.record import REQUIRED, Operator
from alula.engine.operators.rewriting import MICROSOFT
from alula.engine.operators.table import NEWEST_OPSET, OPERATORS, operator_named, operator_of
from alula.engine.operators.upgrade import upgrade_node

_STANDARD = [operator for (domain, _), operator in OPERATORS.items() if not domain]
# What only upgrades write, to keep the meaning of an older version.
_OWN_ATTRIBUTES = {
    "Softmax": {"coerced"}, "LogSoftmax": {"coerced"}, "Hardmax": {"coerced"}, "GroupNormalization": {"by_group"},
    "Scan": {"batched"},
}  # fmt: skip
# What the importer writes on nodes that hold graphs.
_CAPTURES = {"captures"}


def _versions(name: str) -> list[int]:
    """Versions at which the standard changed an operator, up to the one that withdrew it."""
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.name == name and s.domain == ""]
    last = max((schema.since_version for schema in schemas if not schema.deprecated), default=0)
    return sorted(schema.since_version for schema in schemas if schema.since_version <= last)


def _schema(operator: Operator) -> onnx.defs.OpSchema:
    return onnx.defs.get_schema(operator.name, operator.since[-1], "")


@pytest.mark.parametrize("operator", _STANDARD, ids=lambda operator: operator.name)
def test_versions_are_the_standards(operator: Operator) -> None:
    """A definition that changed in a version we do not list would be run with the older meaning."""
    since = list(operator.since)

    assert since == [version for version in _versions(operator.name) if version >= since[0]]


def test_newest_opset_is_the_one_that_was_checked() -> None:
    """A newer onnx may redefine operators: its versions must be looked at before they are accepted."""
    newest = onnx.defs.onnx_opset_version()

    assert newest == NEWEST_OPSET


@pytest.mark.parametrize("operator", _STANDARD, ids=lambda operator: operator.name)
def test_attributes_and_defaults_are_the_standards(operator: Operator) -> None:
    """A default that differs changes the result of every model that leaves the attribute out."""
    wanted = {name: _default(attribute) for name, attribute in _schema(operator).attributes.items()}
    own = _OWN_ATTRIBUTES.get(operator.name, set()) | (_CAPTURES if operator.nested else set())

    found = {name: value for name, value in operator.attributes.items() if name not in own}

    assert set(found) == set(wanted)
    for name, value in wanted.items():
        if value is None:
            assert found[name] in (None, (), 0), name
        elif isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=1e-6), name
        else:
            assert found[name] == value, name


def _default(attribute: Any) -> Any:
    if attribute.required:
        return REQUIRED
    value = helper.get_attribute_value(attribute.default_value) if attribute.default_value.type else None
    if isinstance(value, list):
        return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("operator", _STANDARD, ids=lambda operator: operator.name)
def test_inputs_and_outputs_are_the_standards(operator: Operator) -> None:
    """Optional and variadic inputs stand where the standard has them."""
    option = onnx.defs.OpSchema.FormalParameterOption
    marks = {option.Single: "", option.Optional: "?", option.Variadic: "*"}
    wanted = [marks[formal.option] for formal in _schema(operator).inputs]

    # If has no inputs to be variadic: what its graphs capture stands in a list of its own.
    found = [name[-1] if name[-1] in "?*" else "" for name in operator.inputs if name != "captured*"]

    assert found == wanted
    assert len(operator.outputs) == len(_schema(operator).outputs)


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_each_record_says_what_it_does_in_one_sentence(operator: Operator) -> None:
    """The reference table of the documentation is made of these."""
    assert operator.summary.endswith(".")
    assert len(operator.summary) < 120


def test_views_are_the_operators_that_leave_bytes_alone() -> None:
    """A view costs nothing at run time; one too many would read another operator's input."""
    views = {operator.name for operator in OPERATORS.values() if operator.view}

    assert views == {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Align"}


def test_the_long_name_of_the_standards_domain_is_understood() -> None:
    """Some exporters write ai.onnx where others write nothing."""
    assert operator_of(Node("Relu", ("x",), ("y",), domain="ai.onnx")) is OPERATORS["", "Relu"]
    assert operator_named("com.example", "Relu") is None
    assert operator_named(INTERNAL, "FusedConv") is not None


def _upgraded(node: Node, version: int) -> Node:
    return upgrade_node(node, version, lambda _: "constant")[-1]


@pytest.mark.parametrize(
    ("node", "version", "message"),
    [
        (
            Node("Relu", ("x",), ("y",)),
            NEWEST_OPSET + 1,
            f"opset 1 to {NEWEST_OPSET}, the model has {NEWEST_OPSET + 1}",
        ),
        (Node("HardSwish", ("x",), ("y",)), 13, "needs opset 14"),
        (Node("BatchNormalization", tuple("xabmv"), ("y", "m", "v", "s")), 9, "saved statistics"),
        (Node("BatchNormalization", tuple("xabmv"), ("y",), {"spatial": 0}), 7, "spatial is 0"),
        (Node("Sinc", ("x",), ("y",)), 13, "ai.onnx.Sinc"),
    ],
)
def test_versions_and_forms_that_are_not_understood_are_refused(node: Node, version: int, message: str) -> None:
    """A version whose meaning is unknown is refused, never guessed."""
    with pytest.raises(UnsupportedError, match=message):
        _upgraded(node, version)


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_a_node_in_its_newest_form_is_left_alone(operator: Operator) -> None:
    """Upgrading twice is upgrading once; the newest form passes unchanged."""
    given = {name: value for name, value in operator.attributes.items() if value is not REQUIRED}
    node = Node(operator.name, ("x", "a", "b"), ("y",), given, domain=operator.domain)

    if operator.name != "Upsample" and operator.domain != MICROSOFT:
        assert _upgraded(node, NEWEST_OPSET) == node


def test_hints_about_memory_are_dropped() -> None:
    """consumed_inputs of opset 1 says nothing about the result."""
    node = Node("Relu", ("x",), ("y",), {"consumed_inputs": (1,)})

    assert _upgraded(node, 5).attributes == {}

"""The messages of ONNX that the importer reads, as tables: field numbers and names of onnx.proto.

In: nothing. Out: one `MessageType` a message; https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from alula.engine.importers.records import FieldType, Kind, MessageType

# Limits: the largest published graphs have some ten thousand nodes; an operator has some dozen attributes. The
# importer's own limit of nodes, which users may set, is usually lower.
MOST_NODES = 1_000_000
_MOST_FUNCTIONS = 100_000
_MOST_ATTRIBUTES = 256
_MOST_METADATA = 10_000
_MOST_DIMS = 64

MODEL = MessageType(
    "ModelProto",
    {
        1: FieldType("ir_version", Kind.INT),
        7: FieldType("graph"),
        8: FieldType("opset_import", most=1000),
        14: FieldType("metadata_props", most=_MOST_METADATA),
        25: FieldType("functions", most=_MOST_FUNCTIONS),
    },
)
OPSET = MessageType("OperatorSetIdProto", {1: FieldType("domain"), 2: FieldType("version", Kind.INT)})
ENTRY = MessageType("StringStringEntryProto", {1: FieldType("key"), 2: FieldType("value")})
GRAPH = MessageType(
    "GraphProto",
    {
        1: FieldType("node", most=MOST_NODES),
        5: FieldType("initializer", most=MOST_NODES),
        11: FieldType("input", most=MOST_NODES),
        12: FieldType("output", most=MOST_NODES),
        15: FieldType("sparse_initializer", most=MOST_NODES),
    },
)
FUNCTION = MessageType(
    "FunctionProto",
    {
        1: FieldType("name"),
        4: FieldType("input"),
        5: FieldType("output"),
        6: FieldType("attribute"),
        7: FieldType("node", most=MOST_NODES),
        9: FieldType("opset_import", most=1000),
        10: FieldType("domain"),
        11: FieldType("attribute_proto", most=_MOST_ATTRIBUTES),
        13: FieldType("overload"),
    },
)
NODE = MessageType(
    "NodeProto",
    {
        1: FieldType("input"),
        2: FieldType("output"),
        3: FieldType("name"),
        4: FieldType("op_type"),
        5: FieldType("attribute", most=_MOST_ATTRIBUTES),
        7: FieldType("domain"),
        8: FieldType("overload"),
    },
)
ATTRIBUTE = MessageType(
    "AttributeProto",
    {
        1: FieldType("name"),
        2: FieldType("f", Kind.FLOAT),
        3: FieldType("i", Kind.INT),
        4: FieldType("s"),
        5: FieldType("t"),
        6: FieldType("g"),
        7: FieldType("floats", Kind.FLOAT),
        8: FieldType("ints", Kind.INT),
        9: FieldType("strings"),
        10: FieldType("tensors"),
        11: FieldType("graphs"),
        14: FieldType("tp"),
        15: FieldType("type_protos"),
        20: FieldType("type", Kind.INT),
        21: FieldType("ref_attr_name"),
        22: FieldType("sparse_tensor"),
        23: FieldType("sparse_tensors"),
    },
)
TENSOR = MessageType(
    "TensorProto",
    {
        1: FieldType("dims", Kind.INT, most=_MOST_DIMS),
        2: FieldType("data_type", Kind.INT),
        3: FieldType("segment"),
        4: FieldType("float_data", Kind.FLOAT),
        5: FieldType("int32_data", Kind.INT),
        6: FieldType("string_data"),
        7: FieldType("int64_data", Kind.INT),
        8: FieldType("name"),
        9: FieldType("raw_data"),
        10: FieldType("double_data", Kind.DOUBLE),
        11: FieldType("uint64_data", Kind.INT),
        13: FieldType("external_data", most=16),
        14: FieldType("data_location", Kind.INT),
    },
)
SPARSE_TENSOR = MessageType(
    "SparseTensorProto",
    {1: FieldType("values"), 2: FieldType("indices"), 3: FieldType("dims", Kind.INT, most=_MOST_DIMS)},
)
VALUE_INFO = MessageType("ValueInfoProto", {1: FieldType("name"), 2: FieldType("type")})
TYPE = MessageType(
    "TypeProto",
    {
        1: FieldType("tensor_type"),
        4: FieldType("sequence_type"),
        5: FieldType("map_type"),
        8: FieldType("sparse_tensor_type"),
        9: FieldType("optional_type"),
    },
)
TENSOR_TYPE = MessageType("TypeProto.Tensor", {1: FieldType("elem_type", Kind.INT), 2: FieldType("shape")})
ELEMENT_TYPE = MessageType("TypeProto.Sequence", {1: FieldType("elem_type")})
MAP_TYPE = MessageType("TypeProto.Map", {1: FieldType("key_type", Kind.INT), 2: FieldType("value_type")})
SHAPE = MessageType("TensorShapeProto", {1: FieldType("dim", most=_MOST_DIMS)})
DIMENSION = MessageType("Dimension", {1: FieldType("dim_value", Kind.INT), 2: FieldType("dim_param")})

"""Which type an attribute must have: that of its default, else what ONNX gives attributes of that name.

In: an attribute's name, its value and its default. Out: the type that it lacks, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import ValueType


def _is_int(value: Any) -> bool:
    return isinstance(value, int)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def _several(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(map(one, value))


_is_tensor: Callable[[Any], bool] = lambda value: isinstance(value, np.ndarray)  # noqa: E731  one of a family

_FITS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "an integer": _is_int,
        "a number": _is_number,
        "a string": _is_text,
        "integers": _several(_is_int),
        "numbers": _several(_is_number),
        "strings": _several(_is_text),
        "a tensor": _is_tensor,
        "a graph": lambda value: isinstance(value, Graph),
        "a type": lambda value: isinstance(value, ValueType),
        # Of one name, tree ensembles have both.
        "numbers or a tensor": lambda value: _is_tensor(value) or _several(_is_number)(value),
        "strings or a tensor": lambda value: _is_tensor(value) or _several(_is_text)(value),
    }
)

_BY_DEFAULT: Mapping[type, str] = MappingProxyType({int: "an integer", float: "a number", str: "a string"})

# Of attributes whose default is nothing, no numbers, or none at all; a test holds them against ONNX's own schemas.
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "a graph": "body else_branch prob_mod score_mod then_branch",
        "a string": "delimiter direction equation locale mode pattern value_string",
        "an integer": (
            "axis blocksize dtype end ignore_index kv_num_heads max_gram_length max_skip_count maxsplit "
            "min_gram_length n_targets num_groups num_scan_inputs q_num_heads size to value_int"
        ),
        "a number": "alpha beta norm_coefficient seed value_float",
        "integers": (
            "axes cats_int64s class_ids class_nodeids class_treeids classlabels_int64s classlabels_ints dilations "
            "imputed_value_int64s inputdimensions kernel_shape keys_int64s leaf_targetids ngram_counts ngram_indexes "
            "nodes_falseleafs nodes_falsenodeids nodes_featureids nodes_missing_value_tracks_true nodes_nodeids "
            "nodes_treeids nodes_trueleafs nodes_truenodeids output_padding output_shape pads perm pool_int64s "
            "pooled_shape scan_input_axes scan_input_directions scan_output_axes scan_output_directions shape strides "
            "target_ids target_nodeids target_treeids tree_roots value_ints values_int64s"
        ),
        "numbers": (
            "activation_alpha activation_beta base_values class_weights coefficients imputed_value_floats intercepts "
            "keys_floats nodes_values offset scale target_weights value_floats values_floats weights"
        ),
        "a tensor": (
            "base_values_as_tensor class_weights_as_tensor default_tensor keys_tensor leaf_weights membership_values "
            "nodes_hitrates_as_tensor nodes_splits nodes_values_as_tensor sparse_value target_weights_as_tensor value "
            "values_tensor"
        ),
        "strings": (
            "activations captures cats_strings classlabels_strings keys_strings pool_strings stopwords value_strings "
            "values_strings"
        ),
        "a type": "type",
        "numbers or a tensor": "nodes_hitrates",
        "strings or a tensor": "nodes_modes",
    }
)
_BY_NAME: Mapping[str, str] = MappingProxyType({name: kind for kind, names in _NAMES.items() for name in names.split()})


def type_of_attribute(name: str, default: Any) -> str | None:
    """What an attribute has to be, in words; None where anything will do."""
    return _BY_DEFAULT.get(type(default)) or _BY_NAME.get(name)


def lacks_type(name: str, value: Any, default: Any) -> str | None:
    """What an attribute would have to be, in words; None where it is that."""
    kind = type_of_attribute(name, default)
    return None if kind is None or _FITS[kind](value) else kind

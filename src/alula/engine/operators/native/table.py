"""Which operators have kernels: the table that joins records and their selections.

In: nothing. Out: `SELECTIONS`, by domain and operator; what does not stand here runs through its reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alula.engine.graph.nodes import INTERNAL
from alula.engine.kernels.call import Select
from alula.engine.operators.native.attention import select_attention
from alula.engine.operators.native.channels import select_concat, select_shuffle, select_split
from alula.engine.operators.native.convolution import select_convolution
from alula.engine.operators.native.elementwise import select_elementwise, select_pack, select_unpack
from alula.engine.operators.native.gate import select_gate
from alula.engine.operators.native.index import (
    select_gather,
    select_gather_elements,
    select_gather_nd,
    select_scatter_elements,
    select_scatter_nd,
)
from alula.engine.operators.native.lrn import select_lrn
from alula.engine.operators.native.matmul import select_matmul
from alula.engine.operators.native.move import (
    select_bit_cast,
    select_copy,
    select_expand,
    select_slice,
    select_transpose,
)
from alula.engine.operators.native.norms import (
    select_group_norm,
    select_instance_norm,
    select_layer_norm,
    select_rms_norm,
)
from alula.engine.operators.native.pick import (
    select_arg,
    select_one_hot,
    select_reverse_sequence,
    select_running,
    select_top_k,
    select_trilu,
)
from alula.engine.operators.native.pool import (
    select_average_pool,
    select_global_average_pool,
    select_global_max_pool,
)
from alula.engine.operators.native.product import select_product
from alula.engine.operators.native.rearrange import (
    select_center_crop_pad,
    select_depth_to_space,
    select_pad,
    select_space_to_depth,
    select_tile,
)
from alula.engine.operators.native.recurrent import select_recurrence
from alula.engine.operators.native.reduce import select_reduce
from alula.engine.operators.native.resize import select_resize
from alula.engine.operators.native.sample import select_deform_columns, select_grid_sample, select_roi_align
from alula.engine.operators.native.softmax import select_softmax
from alula.engine.operators.native.transposed import select_col2im, select_convolution_transposed
from alula.engine.operators.native.windows import select_max_windows

SELECTIONS: Mapping[tuple[str, str], Select] = MappingProxyType(
    {
        (INTERNAL, "FusedConv"): select_convolution,
        (INTERNAL, "FusedConvTranspose"): select_convolution_transposed,
        (INTERNAL, "DeformColumns"): select_deform_columns,
        (INTERNAL, "ShuffleChannels"): select_shuffle,
        (INTERNAL, "FusedMatMul"): select_matmul,
        (INTERNAL, "ScaledDotProduct"): select_attention,
        (INTERNAL, "ChannelGate"): select_gate,
        (INTERNAL, "Elementwise"): select_elementwise,
        (INTERNAL, "RecurrentCore"): select_recurrence,
        (INTERNAL, "Pack"): select_pack,
        (INTERNAL, "Unpack"): select_unpack,
        (INTERNAL, "Copy"): select_copy,
        ("", "LRN"): select_lrn,
        ("", "MatMul"): select_product,
        ("", "MaxPool"): select_max_windows,
        ("", "AveragePool"): select_average_pool,
        ("", "GlobalMaxPool"): select_global_max_pool,
        ("", "GlobalAveragePool"): select_global_average_pool,
        ("", "Softmax"): select_softmax,
        ("", "LogSoftmax"): select_softmax,
        ("", "LayerNormalization"): select_layer_norm,
        ("", "InstanceNormalization"): select_instance_norm,
        ("", "Concat"): select_concat,
        ("", "Split"): select_split,
        ("", "Slice"): select_slice,
        ("", "Transpose"): select_transpose,
        ("", "Expand"): select_expand,
        ("", "Pad"): select_pad,
        ("", "CenterCropPad"): select_center_crop_pad,
        ("", "Tile"): select_tile,
        ("", "RoiAlign"): select_roi_align,
        ("", "Col2Im"): select_col2im,
        ("", "GridSample"): select_grid_sample,
        ("", "DepthToSpace"): select_depth_to_space,
        ("", "SpaceToDepth"): select_space_to_depth,
        ("", "Resize"): select_resize,
        ("", "ReduceSum"): select_reduce,
        ("", "ReduceMean"): select_reduce,
        ("", "ReduceMax"): select_reduce,
        ("", "ReduceMin"): select_reduce,
        ("", "ReduceProd"): select_reduce,
        ("", "Gather"): select_gather,
        ("", "GatherElements"): select_gather_elements,
        ("", "GatherND"): select_gather_nd,
        ("", "ScatterND"): select_scatter_nd,
        ("", "ScatterElements"): select_scatter_elements,
        ("", "ArgMax"): select_arg,
        ("", "ArgMin"): select_arg,
        ("", "TopK"): select_top_k,
        ("", "OneHot"): select_one_hot,
        ("", "Trilu"): select_trilu,
        ("", "CumSum"): select_running,
        ("", "CumProd"): select_running,
        ("", "ReverseSequence"): select_reverse_sequence,
        ("", "ReduceL1"): select_reduce,
        ("", "ReduceL2"): select_reduce,
        ("", "ReduceLogSum"): select_reduce,
        ("", "ReduceLogSumExp"): select_reduce,
        ("", "ReduceSumSquare"): select_reduce,
        ("", "RMSNormalization"): select_rms_norm,
        ("", "GroupNormalization"): select_group_norm,
        ("", "BitCast"): select_bit_cast,
        ("", "Identity"): select_copy,
        ("", "Reshape"): select_copy,
        ("", "Flatten"): select_copy,
        ("", "Squeeze"): select_copy,
        ("", "Unsqueeze"): select_copy,
        ("", "Scatter"): select_scatter_elements,
    }
)

"""The order of passes, in one tuple.

In: a graph as the importer reads it, and options. Out: the graph that layouts and plans are made for, and reports.
"""

from __future__ import annotations

from alula.base.errors import RequestError
from alula.engine.graph.graph import Graph
from alula.engine.passes.bind_shapes import bind_shapes
from alula.engine.passes.driver import (
    PassOptions,
    PassReport,
    configured_pass,
    graph_pass,
    node_pass,
    run_pass,
)
from alula.engine.passes.drop_casts import drop_casts
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.drop_duplicates import drop_duplicates
from alula.engine.passes.drop_expand import drop_expand
from alula.engine.passes.drop_identity import drop_identity
from alula.engine.passes.drop_requantisation import drop_requantisation
from alula.engine.passes.drop_split_concat import drop_split_concat
from alula.engine.passes.fold_batch_norm import fold_batch_norm
from alula.engine.passes.fold_columns import fold_columns
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.fold_factor import fold_factor
from alula.engine.passes.fold_pads import fold_pads
from alula.engine.passes.fold_scale import fold_scale
from alula.engine.passes.fuse_attention import fuse_attention
from alula.engine.passes.fuse_chain import fuse_chain
from alula.engine.passes.fuse_channel_shuffle import fuse_channel_shuffle
from alula.engine.passes.fuse_convolution import fuse_convolution
from alula.engine.passes.fuse_elementwise import fuse_elementwise
from alula.engine.passes.fuse_epilogue import fuse_epilogue
from alula.engine.passes.fuse_gelu import fuse_gelu
from alula.engine.passes.fuse_group_norm import fuse_group_norm
from alula.engine.passes.fuse_hard_swish import fuse_hard_swish
from alula.engine.passes.fuse_layer_norm import fuse_layer_norm
from alula.engine.passes.fuse_matmul import fuse_matmul
from alula.engine.passes.fuse_mish import fuse_mish
from alula.engine.passes.fuse_rms_norm import fuse_rms_norm
from alula.engine.passes.fuse_squeeze_excite import fuse_squeeze_excite
from alula.engine.passes.fuse_swish import fuse_swish
from alula.engine.passes.inline_branches import inline_branches
from alula.engine.passes.lift_lines import lift_lines
from alula.engine.passes.lower_affine_grid import lower_affine_grid
from alula.engine.passes.lower_attention import lower_attention
from alula.engine.passes.lower_computed_conv import lower_computed_conv
from alula.engine.passes.lower_conv_transpose import lower_conv_transpose
from alula.engine.passes.lower_deform_conv import lower_deform_conv
from alula.engine.passes.lower_dropout import lower_dropout
from alula.engine.passes.lower_einsum import lower_einsum
from alula.engine.passes.lower_gemm import lower_gemm
from alula.engine.passes.lower_general_attention import lower_general_attention
from alula.engine.passes.lower_grid_sample import lower_grid_sample
from alula.engine.passes.lower_integer_products import lower_integer_products
from alula.engine.passes.lower_losses import lower_losses
from alula.engine.passes.lower_masks import lower_masks
from alula.engine.passes.lower_norm_pools import lower_norm_pools
from alula.engine.passes.lower_norms import lower_norms
from alula.engine.passes.lower_picks import lower_picks
from alula.engine.passes.lower_places import lower_places
from alula.engine.passes.lower_quantisation import lower_quantisation
from alula.engine.passes.lower_resize import lower_resize
from alula.engine.passes.lower_rotary import lower_rotary
from alula.engine.passes.lower_spectra import lower_spectra
from alula.engine.passes.lower_statistics import lower_statistics
from alula.engine.passes.lower_transposed_volumes import lower_transposed_volumes
from alula.engine.passes.lower_volumes import lower_volumes
from alula.engine.passes.merge_reshapes import merge_reshapes
from alula.engine.passes.merge_slices import merge_slices
from alula.engine.passes.merge_transposes import merge_transposes
from alula.engine.passes.reduce_to_global_pool import reduce_to_global_pool
from alula.engine.passes.resolve_align import resolve_align
from alula.engine.passes.resolve_auto_pad import resolve_auto_pad
from alula.engine.passes.resolve_cast_like import resolve_cast_like
from alula.engine.passes.resolve_flex_attention import resolve_flex_attention
from alula.engine.passes.resolve_sequences import resolve_sequences
from alula.engine.passes.sink_transposes import sink_transposes
from alula.engine.passes.split_recurrent import split_recurrent
from alula.engine.passes.split_resize import split_resize
from alula.engine.passes.turn_weighing import turn_weighing
from alula.engine.passes.unroll_linear_attention import unroll_linear_attention
from alula.engine.passes.unroll_loops import unroll_loops
from alula.engine.passes.unroll_recurrent import unroll_recurrent
from alula.engine.passes.unstack_transposes import unstack_transposes
from alula.engine.passes.upgrade_operators import upgrade_operators
from alula.engine.passes.widen_bytes import widen_bytes
from alula.engine.passes.widen_half import widen_half

PASSES = (
    graph_pass(upgrade_operators, required=True),
    configured_pass("bind_shapes", lambda graph, options: bind_shapes(graph, options.bindings, options.shapes)),
    node_pass(resolve_cast_like),
    graph_pass(fold_constants, required=True),
    node_pass(resolve_align),
    graph_pass(inline_branches),
    graph_pass(unroll_loops),
    graph_pass(resolve_sequences),
    # Behind what takes nested graphs out, so that their nodes are widened too.
    graph_pass(widen_half),
    graph_pass(drop_dead_nodes),
    graph_pass(drop_duplicates),
    node_pass(merge_slices, repeat=True),
    node_pass(drop_identity),
    node_pass(drop_expand, repeat=True),
    node_pass(drop_casts, repeat=True),
    node_pass(split_recurrent),
    node_pass(unroll_recurrent),
    node_pass(drop_split_concat),
    node_pass(lower_dropout),
    node_pass(lower_einsum),
    node_pass(lower_gemm),
    node_pass(resolve_flex_attention),
    node_pass(lower_general_attention),
    node_pass(unroll_linear_attention),
    node_pass(lower_rotary),
    node_pass(lower_spectra),
    node_pass(lower_losses),
    node_pass(lower_norm_pools),
    node_pass(lower_norms),
    node_pass(lower_picks),
    node_pass(lower_places),
    node_pass(lower_grid_sample),
    node_pass(lower_resize),
    node_pass(lower_statistics),
    node_pass(lower_masks),
    node_pass(drop_requantisation, repeat=True),
    node_pass(lower_quantisation),
    node_pass(lower_integer_products),
    graph_pass(drop_duplicates),
    node_pass(unstack_transposes),
    node_pass(merge_reshapes, repeat=True),
    node_pass(sink_transposes, repeat=True),
    node_pass(merge_transposes, repeat=True),
    node_pass(fuse_hard_swish),
    node_pass(fuse_swish),
    node_pass(fuse_gelu),
    node_pass(fuse_mish),
    node_pass(fuse_layer_norm),
    # Behind layer norms, whose centred values are divided by their root mean square.
    node_pass(fuse_rms_norm),
    node_pass(fuse_group_norm),
    node_pass(resolve_auto_pad),
    node_pass(fold_pads, repeat=True),
    node_pass(reduce_to_global_pool),
    node_pass(fold_batch_norm),
    node_pass(fold_scale),
    node_pass(lower_affine_grid),
    node_pass(lower_computed_conv),
    node_pass(lower_conv_transpose),
    node_pass(lower_deform_conv),
    node_pass(split_resize),
    node_pass(fuse_channel_shuffle),
    node_pass(turn_weighing),
    node_pass(fuse_attention),
    node_pass(lower_attention),
    graph_pass(drop_dead_nodes),
    node_pass(fuse_matmul, repeat=True),
    node_pass(fold_columns, repeat=True),
    node_pass(fold_factor, repeat=True),
    node_pass(fuse_convolution),
    node_pass(fuse_elementwise),
    node_pass(widen_bytes, repeat=True),
    node_pass(fuse_chain, repeat=True),
    node_pass(fuse_epilogue, repeat=True),
    # Behind epilogues, which are the gate's two activations.
    node_pass(fuse_squeeze_excite),
    node_pass(lower_volumes),
    node_pass(lower_transposed_volumes),
    node_pass(lift_lines),
)


def optimise(graph: Graph, options: PassOptions | None = None) -> tuple[Graph, tuple[PassReport, ...]]:
    """Run all passes in their order.

    Args:
        graph: as `load_onnx` gives it.
        options: shapes, passes to leave out, checks.

    Raises:
        RequestError: a pass to leave out does not exist, or all others build on it.
        AlulaError: what the passes raise.
    """
    options = options or PassOptions()
    _check_disabled(options.disable)
    reports = []
    for step in PASSES:
        if step.name not in options.disable:
            graph, report = run_pass(graph, step, options)
            reports.append(report)
    return graph, tuple(reports)


def _check_disabled(names: frozenset[str]) -> None:
    optional = [step.name for step in PASSES if not step.required]
    wrong = sorted(names - set(optional))
    if wrong:
        found = f"{', '.join(wrong)} cannot be"
        raise RequestError("passes to disable", f"can be any of {', '.join(optional)}", found)


__all__ = ["PASSES", "PassOptions", "PassReport", "optimise"]

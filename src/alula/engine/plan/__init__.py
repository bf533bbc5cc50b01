"""In: a finished Graph. Out: a Plan: ordered steps, kernels, weights, arena offsets."""

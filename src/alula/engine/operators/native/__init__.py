"""In: nodes with layouts decided. Out: kernel calls: one file a family of kernels, joined to operators in `table`."""

"""In: shapes and a target. Out: loop nests as LLVM IR text, packed weights, and the calls that plans are made of."""

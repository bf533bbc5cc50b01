"""In: nodes and arrays. Out: operator records: versions, shape inference, numpy reference, lowering, tolerance."""

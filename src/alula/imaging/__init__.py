"""In: encoded pictures. Out: pixels, tensors, and meaning from tensors."""

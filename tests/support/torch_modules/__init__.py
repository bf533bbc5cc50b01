"""Networks as PyTorch modules with random weights, small, in the forms that people export."""

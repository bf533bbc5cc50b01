"""In: model files. Out: plans, and sessions that run them."""

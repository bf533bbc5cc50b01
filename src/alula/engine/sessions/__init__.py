"""In: a model or plan file. Out: a Session from one of the providers."""

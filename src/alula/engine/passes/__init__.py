"""In: Graph. Out: a better Graph, one pass a file."""

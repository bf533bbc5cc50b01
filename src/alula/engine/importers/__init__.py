"""In: model and weight files. Out: Graph, arrays by name. Nothing in a file is ever executed."""

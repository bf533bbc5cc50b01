"""In: nothing. Out: the nouns of a model: Graph, Node, Value, Dim, Formula; their text form and their checker."""

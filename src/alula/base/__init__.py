"""In: nothing. Out: the words that all rooms share. Standard library only."""

"""In: a .alula file. Out: answers. Standard library only."""

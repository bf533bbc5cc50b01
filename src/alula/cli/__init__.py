"""In: the command line. Out: the rooms, wired together; one file a command."""

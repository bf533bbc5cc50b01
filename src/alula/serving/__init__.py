"""In: requests over HTTP. Out: answers of a Session."""

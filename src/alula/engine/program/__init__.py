"""In: Plan. Out: position-independent machine code, packed weights, the .alula file."""

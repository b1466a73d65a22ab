"""One run: its line of steps, from opening to close; it knows no kind and no destination by name."""

"""Products as items of a catalog."""

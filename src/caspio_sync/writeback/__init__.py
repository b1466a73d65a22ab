"""caspio-sync: what is written back into Caspio, by the fewest calls."""

"""What moves, whoever takes it: a folder a kind."""

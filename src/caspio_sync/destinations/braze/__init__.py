"""Braze: what it takes, how it answers, what its consent states mean."""

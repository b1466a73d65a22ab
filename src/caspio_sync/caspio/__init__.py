"""Caspio: its REST API, its rows read in batches, its rows written by the fewest calls."""

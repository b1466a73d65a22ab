"""A catalog sync: its catalog's fields, its items, and those whose row is gone."""

"""Rows as deals: each made once, and changed by its number from then on."""

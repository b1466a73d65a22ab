"""Rows as things that people did: custom events and purchases, each sent once."""

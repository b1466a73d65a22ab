"""Moves customer data between Caspio and Braze."""

__version__ = "0.1.0"

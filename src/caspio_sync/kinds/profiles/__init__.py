"""Customers as profiles."""

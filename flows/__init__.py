"""caspio-sync: what runs."""

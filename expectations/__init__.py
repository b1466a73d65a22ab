"""caspio-sync: the gates."""

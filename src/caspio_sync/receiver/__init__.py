"""The service that takes what is posted to us, and the inbox it is kept in."""

"""What people look at: how syncs stand and what runs did, for commands and for the page."""

"""What Braze learned about people, on its way back to Caspio: events, series, the fold."""

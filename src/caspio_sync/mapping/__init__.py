"""From source frame to mapped frame to objects."""

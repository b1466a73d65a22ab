"""An endpoint that takes rows from anybody: strict about who sends them, and about what was sent before."""

"""What a destination learned of people, back into their rows."""

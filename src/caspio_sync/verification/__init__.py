"""`verify`: what a destination holds against what was sent."""

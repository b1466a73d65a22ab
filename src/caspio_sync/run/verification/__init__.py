"""`verify`: what Braze holds against what was sent."""

"""An engagement return: what Braze tells, folded, wanted in Caspio's rows, and written there."""

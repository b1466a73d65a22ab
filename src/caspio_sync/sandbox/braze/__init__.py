"""A local Braze: the endpoints the product uses, as strict as Braze's documentation says."""

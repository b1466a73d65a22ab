"""Any endpoint that takes rows by HTTP."""

"""caspio-sync: how each step runs under Prefect."""

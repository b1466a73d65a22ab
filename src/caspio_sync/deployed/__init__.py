"""What stands on a Prefect server: deployments, backfills in shards, housekeeping."""

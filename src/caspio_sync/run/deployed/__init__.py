"""What stands on a Prefect server: deployments, schedules, backfills in shards, housekeeping."""

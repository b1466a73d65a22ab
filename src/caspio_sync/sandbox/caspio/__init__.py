"""A local Caspio: tables, views and the REST API, as strict as Caspio's documentation says."""

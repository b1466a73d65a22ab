"""The sync definition, and from source frame to mapped frame to objects."""

from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.profiles import Check, ProfileMapping
from caspio_sync.mapping.proposal import propose_sync
from caspio_sync.mapping.sync_file import load_sync, parse_sync, sync_json_schema

__all__ = ["Check", "ProfileMapping", "ProfileSync", "load_sync", "parse_sync", "propose_sync", "sync_json_schema"]

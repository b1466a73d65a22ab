"""Definitions of one kind, read from the text of a sync file."""

from pathlib import Path

from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.mapping.sync_file import parse_sync


def profiles(text: str, path: Path = Path("people.yaml")) -> ProfileSync:
    """A sync of profiles."""
    definition = parse_sync(text, path)
    assert isinstance(definition, ProfileSync)
    return definition

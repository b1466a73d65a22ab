"""The worlds that destinations are tried in."""

from tests.flows.conftest import flows, world

__all__ = ["flows", "world"]

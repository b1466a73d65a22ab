"""What a sync writes outside: two that write one thing overwrite each other, billed each time."""

from collections.abc import Collection, Iterator

from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.sync_file import AnySync

Claim = tuple[str, ...]


def claims(sync: AnySync) -> dict[Claim, str]:
    """Everything a sync writes, and how a person calls it: attributes, consent, a catalog, columns of a table."""
    if isinstance(sync, CatalogSync):
        # Braze tells catalogs apart by name without case.
        return {("catalog", sync.destination, sync.catalog.name.lower()): f"catalog {sync.catalog.name}"}
    if isinstance(sync, EngagementSync):
        # Caspio tells tables and columns apart without case.
        table = sync.source.name.lower()
        return dict(_written(sync, table))
    place = ("profiles", sync.destination, sync.identity.kind, sync.identity.label or "")
    return {(*place, name): name for name in (*sync.fields, *sync.consent.columns)}


def _written(sync: EngagementSync, table: str) -> Iterator[tuple[Claim, str]]:
    yield from ((("column", table, column.lower()), column) for column in sync.columns)
    if sync.campaign_stats is not None:
        yield ("rows", sync.campaign_stats.table.lower()), f"table {sync.campaign_stats.table}"


def shared(sync: AnySync, other: AnySync) -> list[str]:
    """What both write, in the order of the first one."""
    theirs = claims(other)
    return [name for claim, name in claims(sync).items() if claim in theirs]


def without(sync: AnySync, names: Collection[str]) -> AnySync:
    """A sync of profiles or engagement without some of what it writes."""
    fields = {name: field for name, field in sync.fields.items() if name not in names}
    if isinstance(sync, ProfileSync):
        consent = sync.consent
        groups = tuple(each for each in consent.subscription_groups if each.column not in names)
        states = {name: None for name in ("email_subscribe", "push_subscribe") if name in names}
        require = tuple(each for each in consent.required if each not in names)
        left = consent.model_copy(update={"subscription_groups": groups, "require": require, **states})
        return sync.model_copy(update={"fields": fields, "consent": left})
    if isinstance(sync, EngagementSync):
        returned = sync.returned
        groups_back = tuple(each for each in returned.subscription_groups if each.column not in names)
        scopes = {
            name: None
            for name, state in (
                ("email_subscribe", returned.email_subscribe),
                ("push_subscribe", returned.push_subscribe),
            )
            if state is not None and state.column in names
        }
        left_back = returned.model_copy(update={"subscription_groups": groups_back, **scopes})
        stats = sync.campaign_stats
        kept = None if stats is not None and f"table {stats.table}" in names else stats
        return sync.model_copy(update={"fields": fields, "returned": left_back, "campaign_stats": kept})
    return sync

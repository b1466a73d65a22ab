"""Whose events these are: the person an event names, and the Caspio rows that person is.

A person is the best identifier that an event bears: external_id, else alias, else e-mail, else Braze's own id. An
address is never kept, only its keyed hash. Which Caspio row that is, is asked anew at every run: somebody whose row is
not there yet is found when it appears.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.engagement.fold import PERSON, newest_value
from caspio_sync.schemas import KEY

EXTERNAL_ID, ALIAS, EMAIL, BRAZE_ID = "external_id", "alias", "email", "braze_id"
KINDS = (EXTERNAL_ID, ALIAS, EMAIL, BRAZE_ID)
_SEPARATOR = "\x1f"  # between an alias's label and its name

Digests = Callable[[pl.Series], pl.Series]


def alias_person(label: str, name: str) -> str:
    """How the person of an alias is called here."""
    return f"{label}{_SEPARATOR}{name}"


def identified(events: pl.DataFrame, digests: Digests, *, kinds: Sequence[str] = KINDS) -> pl.DataFrame:
    """Adds `person_kind`, `person` and `address` (the hash of the e-mail); null where an event names nobody.

    Args:
        events: EVENTS.
        digests: keyed hashes of e-mail addresses, each a text without nulls.
        kinds: which identifier is better than which; those that are left out come last.
    """
    emails = events.select("email").drop_nulls().unique()
    hashed = emails.with_columns(address=digests(emails["email"]))
    names = {
        EXTERNAL_ID: pl.col("external_id"),
        ALIAS: pl.concat_str("alias_label", "alias_name", separator=_SEPARATOR),
        EMAIL: pl.col("address"),
        BRAZE_ID: pl.col("braze_id"),
    }
    order = list(dict.fromkeys([*kinds, *KINDS]))
    return events.join(hashed, on="email", how="left", maintain_order="left").with_columns(
        person_kind=pl.coalesce(pl.when(names[kind].is_not_null()).then(pl.lit(kind)) for kind in order),
        # PostgreSQL has no NUL in text; both databases shall hold the same.
        person=pl.coalesce(names[kind] for kind in order).str.replace_all("\0", "\ufffd", literal=True),
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """Which Caspio rows people are.

    Args:
        keys: person_kind, person, key: one a pair. An address that several rows have is all of them.
        unknown: person_kind, person, `last_at` of those who have no row.
    """

    keys: pl.DataFrame
    unknown: pl.DataFrame


def resolve(contacts: pl.DataFrame, consents: pl.DataFrame, rows: pl.DataFrame, digests: Digests) -> Resolved:
    """Find people's rows.

    Somebody whose own identifier no row has is looked for by the address it last used, among rows that have neither
    external_id nor alias: such a row of another person would not be theirs. Who is known by Braze's id alone is whoever
    else bore that id.

    Args:
        contacts: CONTACTS.
        consents: CONSENTS.
        rows: Caspio's: `key`, and of external_id, alias (as `alias_person` makes it) and email (in clear) those there
        digests: as for `identified`.
    """
    people = _people(contacts, consents)
    for name in (EXTERNAL_ID, ALIAS, EMAIL):
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    emails = rows.select("email").drop_nulls().unique()
    folded = emails["email"].str.strip_chars().str.to_lowercase()
    rows = rows.join(emails.with_columns(address=digests(folded)), on="email", how="left")
    named = {EXTERNAL_ID: EXTERNAL_ID, ALIAS: ALIAS, EMAIL: "address"}
    known = pl.concat(
        rows.select(pl.lit(kind).alias("person_kind"), pl.col(column).alias("person"), KEY).drop_nulls()
        for kind, column in named.items()
    ).unique()
    direct = people.join(known, on=PERSON)
    left = people.join(direct, on=PERSON, how="anti")
    nameless = rows.filter(pl.col(EXTERNAL_ID).is_null() & pl.col(ALIAS).is_null()).select("address", KEY).unique()
    found = pl.concat([direct, left.join(nameless, on="address")])
    left = people.join(found, on=PERSON, how="anti")
    bearers = found.select("braze_id", KEY).drop_nulls().unique()
    by_id = left.with_columns(
        braze_id=pl.coalesce(pl.when(pl.col("person_kind") == BRAZE_ID).then("person"), "braze_id")
    )
    found = pl.concat([found, by_id.filter(pl.col("person_kind") == BRAZE_ID).join(bearers, on="braze_id")])
    return Resolved(
        keys=found.select(*PERSON, KEY),
        unknown=people.join(found, on=PERSON, how="anti").select(*PERSON, "last_at").sort(PERSON),
    )


def _people(contacts: pl.DataFrame, consents: pl.DataFrame) -> pl.DataFrame:
    """Everybody once: PERSON, address, braze_id, last_at."""
    told = pl.concat(
        [contacts.select(*PERSON, "address", "braze_id", "last_at"), consents.select(*PERSON, "last_at")],
        how="diagonal",
    )
    return (
        told.group_by(PERSON)
        .agg(pl.col("address").max(), pl.col("braze_id").max(), pl.col("last_at").max())
        .with_columns(address=newest_value("address"))
        .select(*PERSON, "address", "braze_id", "last_at")
    )

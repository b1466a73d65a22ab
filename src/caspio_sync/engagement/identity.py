"""Whose events these are: the person an event names, and the people a Caspio row is.

A person is the best identifier that an event bears: external_id, else alias, else e-mail, else Braze's own id. An
address is never kept, only its keyed hash. Which person a Caspio row is, is asked anew at every run: what was told of
somebody whose row was not there yet is found when it appears.
"""

from collections.abc import Callable, Sequence

import polars as pl

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
        person=pl.coalesce(names[kind] for kind in order),
    )


def people_of_rows(rows: pl.DataFrame, digests: Digests) -> pl.DataFrame:
    """person_kind, person and key: by which names Caspio's rows may be told of.

    Args:
        rows: `key`, external_id, alias_label, alias_name, email (in clear).
        digests: as for `identified`.
    """
    emails = rows.select("email").drop_nulls().unique()
    hashed = emails.with_columns(address=digests(emails["email"]))
    named = rows.join(hashed, on="email", how="left").with_columns(
        alias=pl.concat_str("alias_label", "alias_name", separator=_SEPARATOR)
    )
    names = {EXTERNAL_ID: "external_id", ALIAS: "alias", EMAIL: "address"}
    return pl.concat(
        named.select(pl.lit(kind).alias("person_kind"), pl.col(column).alias("person"), KEY).drop_nulls()
        for kind, column in names.items()
    ).unique()


def people_of_profiles(contacts: pl.DataFrame) -> pl.DataFrame:
    """person_kind, person and key: the Braze ids that people with a key bore.

    Before Braze knew who a profile is, its events named it by that id alone.

    Args:
        contacts: CONTACTS and key.
    """
    return contacts.select(pl.lit(BRAZE_ID).alias("person_kind"), pl.col("braze_id").alias("person"), KEY).drop_nulls()

"""Finding people in the state of engagement, and taking them out of it."""

from collections.abc import Sequence

import polars as pl
import sqlalchemy as sa

from caspio_sync.engagement.fold import PERSON
from caspio_sync.engagement.identity import ALIAS, BRAZE_ID, EMAIL, EXTERNAL_ID, alias_person
from caspio_sync.ledger import engagement_schema as tables
from caspio_sync.ledger.bulk import integer_lists, placeholders, select_frame
from caspio_sync.ledger.fingerprints import text_hashes

DIGEST_CHARACTERS = 32  # of a keyed hash, as the name of an address
_KEY = ("sync", "person_hash", *PERSON)
_FOUND = {
    "sync": pl.String(),
    "person_hash": pl.Int64(),
    "person_kind": pl.String(),
    "person": pl.String(),
    "address": pl.String(),
    "braze_id": pl.String(),
}
_FIND = (
    "SELECT sync, person_hash, person_kind, person, address, braze_id FROM engagement WHERE {chosen} "
    "UNION SELECT sync, person_hash, person_kind, person, NULL, NULL FROM engagement_consent WHERE {chosen}"
)
_VALUES_A_QUERY = 500


def person_hashes(people: pl.DataFrame, salt: int) -> pl.Series:
    """Int64 of each `person_kind` and `person`, without case."""
    names = people.select(pl.concat_str(PERSON, separator="\0")).to_series()
    return text_hashes(names, salt).alias("person_hash")


def people_of(kind: str, label: str | None, keys: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """PERSON of keys as the profile syncs know them; those of phones nobody is known by here.

    Args:
        kind: external_id, user_alias, email or phone.
        label: the alias label.
        keys: each key with its digest of `Erasures.key_digests`.
    """
    people = {
        "external_id": [(EXTERNAL_ID, key) for key, _ in keys],
        "user_alias": [(ALIAS, alias_person(label or "", key)) for key, _ in keys],
        "email": [(EMAIL, digest[:DIGEST_CHARACTERS]) for _, digest in keys],
    }
    return pl.DataFrame(people.get(kind, []), dict.fromkeys(PERSON, pl.String), orient="row")


def forget_people(connection: sa.Connection, people: pl.DataFrame, salt: int) -> None:
    """Take people out of the state, whatever the case of their names.

    With somebody goes what is known of the person's addresses alone, and of ids that the destination gave, unless
    somebody else bears them too.

    Args:
        connection: in a write transaction.
        people: PERSON.
        salt: the ledger's.
    """
    found = _found(connection, people, salt)
    _delete(connection, found)
    borne = pl.concat(
        [
            found.select(pl.lit(EMAIL).alias("person_kind"), pl.col("address").alias("person")),
            found.select(pl.lit(BRAZE_ID).alias("person_kind"), pl.col("braze_id").alias("person")),
        ]
    ).drop_nulls()
    alone = borne.unique().join(_borne_by_others(connection, borne), on=PERSON, how="anti")
    _delete(connection, _found(connection, alone, salt))


def _found(connection: sa.Connection, people: pl.DataFrame, salt: int) -> pl.DataFrame:
    named = people.select("person_kind", folded=pl.col("person").str.to_lowercase())
    # With the names of all syncs, the key's own order finds the hashes.
    where = "sync IN (SELECT sync FROM engagement_cursor) AND person_hash IN"
    frames = [pl.DataFrame(schema=_FOUND)]
    for numbers in integer_lists(person_hashes(people, salt)):
        statement = _FIND.format(chosen=f"{where} ({numbers})")
        frames.append(select_frame(connection, statement, (), _FOUND))
    # Two people may share a hash.
    return (
        pl.concat(frames)
        .with_columns(folded=pl.col("person").str.to_lowercase())
        .join(named, on=("person_kind", "folded"), how="semi")
        .drop("folded")
    )


def _delete(connection: sa.Connection, found: pl.DataFrame) -> None:
    keys = found.select(_KEY).unique().rows()
    if not keys:
        return
    for table in (tables.engagement, tables.engagement_consent):
        own = " AND ".join(f"{name} = ?" for name in _KEY)
        statement = placeholders(connection.dialect, f"DELETE FROM {table.name} WHERE {own}")
        connection.exec_driver_sql(statement, keys)


def _borne_by_others(connection: sa.Connection, borne: pl.DataFrame) -> pl.DataFrame:
    """Those addresses and ids of the destination's own, as PERSON, that people of other names still bear."""
    table = tables.engagement.c
    still: list[tuple[str, str]] = []
    for kind, value in ((EMAIL, table.address), (BRAZE_ID, table.braze_id)):
        values = borne.filter(pl.col("person_kind") == kind)["person"].unique().to_list()
        for start in range(0, len(values), _VALUES_A_QUERY):
            some = values[start : start + _VALUES_A_QUERY]
            bearing = sa.select(value).where(value.in_(some), table.person_kind != kind).distinct()
            still += [(kind, each) for each in connection.execute(bearing).scalars()]
    return pl.DataFrame(still, dict.fromkeys(PERSON, pl.String), orient="row")

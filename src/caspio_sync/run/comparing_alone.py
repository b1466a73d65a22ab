"""A row looked at alone, compared with what was acknowledged of it."""

import polars as pl

from caspio_sync.ledger.compare import KEY_UNIQUE, Versions, compare
from caspio_sync.ledger.duplicate_consent import restrained
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.former_keys import with_former_keys
from caspio_sync.run.line import Row
from caspio_sync.schemas import KEY, SOURCE_PK

# No row was ever judged under these versions: a held row is compared anew.
_NO_VERSION = -1


async def compare_alone(row: Row) -> None:
    """What differs; a row that does not is judged all the same."""
    mapping, ledger, source_pk = row.mapping, row.ledger, row.source[SOURCE_PK][0]
    known = ledger.read_rows(row.sync, source_pk, source_pk)
    row.own = with_former_keys(row.own, known)
    salt = identity_salt(ledger.salt, mapping.identity.kind, mapping.identity.label)
    hashes, words = key_hashes(row.own[KEY], salt), ledger.duplicate_words(row.sync)
    row.mapped = restrained(row.own, hashes, words, mapping.columns)
    row.words = words.filter(pl.col("key_hash") == hashes[0])
    changes = compare(
        row.mapped,
        known,
        columns=mapping.columns,
        versions=Versions(_NO_VERSION, _NO_VERSION, ledger.mapping_fields(row.sync)),
        salt=salt,
        email_column=mapping.email_column,
        phone_column=mapping.phone_column,
        stopped=mapping.stopped,
    ).changes
    row.operation = None if changes.is_empty() else changes["_op"][0]
    unchanged = {"_op": pl.lit("changed"), "_changed": pl.lit(""), KEY_UNIQUE: pl.lit(value=True)}
    row.changes = row.mapped.with_columns(**unchanged) if changes.is_empty() else changes

"""Consent of rows that are held because another row bears their key: of one person's rows the most restrictive leaves.

    duplicate (held) ─▶ what it says ─▶ the key's owner is read again, and carries the stricter state ─▶ heard

The owner's own state is remembered with what was heard: a duplicate that is gone from Caspio is heeded until the owner
itself says something else. `restrained` is a pure function; the table is read before it and written after it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from caspio_sync.consent import ConsentRules
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import placeholders, select_frame, upsert
from caspio_sync.ledger.compare import NO_ROWS, OF_A_DUPLICATE
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.fingerprints import state_fingerprint, unpack
from caspio_sync.schemas import SOURCE_PK, MappedColumn, Verdict

# Every row that is held because another one bears its key; one that was held before this table was there has no entry.
duplicate_consent = sa.Table(
    "duplicate_consent",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_hash", sa.BigInteger, nullable=False),
    sa.Column("states", sa.Text, nullable=False),
    sa.Column("heard", sa.Text),
)
sa.Index("duplicate_consent_key", duplicate_consent.c.sync, duplicate_consent.c.key_hash)

KEY_HASH = "key_hash"
WORDS = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),  # of the duplicate
        KEY_HASH: pl.Int64(),
        "states": pl.String(),  # JSON: its states that may restrict, by column
        "heard": pl.String(),  # JSON: the owner's own states when it was read with these; null: it was not yet
    }
)
SILENCE = "{}"
_PKS_A_STATEMENT = 500


class DuplicateConsent(LedgerConnection):
    """What duplicates say, and whether the owners of their keys were read since."""

    def duplicate_words(self, sync: str) -> pl.DataFrame:
        """WORDS of the duplicates that say anything, or whose silence is news."""
        statement = (
            f"SELECT source_pk, key_hash, states, heard FROM duplicate_consent WHERE sync = ? AND states <> '{SILENCE}'"
        )
        with self.reading("read what duplicates say") as connection:
            return select_frame(connection, statement, (sync,), dict(WORDS))

    def note_duplicates(self, sync: str, said: pl.DataFrame, read: pl.Series) -> None:
        """Write down what rows say that bear another row's key; of the other rows read, that they are none.

        Args:
            sync: name of the sync.
            said: source_pk, key_hash and states of duplicates; what was heard of the same words stays so.
            read: `source_pk` of all rows that were read.
        """
        table = duplicate_consent
        with self.writing("note what duplicates say", fenced=True) as connection:
            known = {each.source_pk: each for each in connection.execute(_of(sync, read))}
            if said.is_empty() and not known:
                return
            said = said.unique(SOURCE_PK, keep="last", maintain_order=True)
            ended = [known[pk] for pk in set(known).intersection(read).difference(said[SOURCE_PK])]
            # A duplicate no longer: where it said anything, the owner of that key is to be read without it.
            _delete(connection, sync, [each.source_pk for each in ended if each.states == SILENCE])
            silent = [(each.source_pk, each.key_hash, SILENCE, None) for each in ended if each.states != SILENCE]
            fresh = [row for row in map(_with_heard(known), said.iter_rows()) if row is not None]
            rows = pl.DataFrame([*silent, *fresh], WORDS, orient="row")
            upsert(connection, table, rows, constants={"sync": sync}, update=(KEY_HASH, "states", "heard"))

    def note_heard(self, sync: str, heard: pl.DataFrame) -> None:
        """Write down which words the owners of keys were read with, and what they say themselves.

        Args:
            sync: name of the sync.
            heard: source_pk (of duplicates), states, and `heard`, one row or more; of other words than these nothing is
                noted.
        """
        statement = "UPDATE duplicate_consent SET heard = ? WHERE source_pk = ? AND states = ? AND sync = ?"
        rows = heard.select("heard", SOURCE_PK, "states", pl.lit(sync)).rows()
        with self.writing("note what was heard", fenced=True) as connection:
            connection.exec_driver_sql(placeholders(connection.dialect, statement), rows)

    def note_gone(self, sync: str, words: pl.DataFrame) -> None:
        """Write down what was acknowledged of rows that are gone: WORDS, of which nothing is heard yet."""
        with self.writing("note what rows said that are gone", fenced=True) as connection:
            upsert(
                connection,
                duplicate_consent,
                words,
                constants={"sync": sync},
                update=(KEY_HASH, "states", "heard"),
            )

    def drop_duplicates(self, sync: str, source_pks: Sequence[int]) -> None:
        """Forget what rows said that are gone."""
        with self.writing("forget what duplicates said", fenced=True) as connection:
            _delete(connection, sync, list(source_pks))

    def unheeding_owners(self, sync: str) -> list[int]:
        """`source_pk` of rows whose key a duplicate bears that has said something new since they were read, sorted."""
        rows, words = schema.row.c, duplicate_consent.c
        held_for_it = sa.and_(rows.verdict == Verdict.QUARANTINED, rows.suite_version == OF_A_DUPLICATE)
        chosen = (
            sa.select(rows.source_pk)
            .join_from(
                duplicate_consent,
                schema.row,
                sa.and_(rows.sync == words.sync, rows.key_hash == words.key_hash, rows.source_pk != words.source_pk),
            )
            .where(words.sync == sync, words.heard.is_(None))
            .where(sa.or_(rows.verdict.is_(None), ~sa.or_(held_for_it, rows.verdict == Verdict.DELETED)))
            .distinct()
            .order_by(rows.source_pk)
        )
        with self.reading("look for owners of keys") as connection:
            return [int(source_pk) for source_pk in connection.execute(chosen).scalars()]

    def settle_duplicates(self, sync: str) -> None:
        """Nobody is left to hear: the owners that were asked for are gone. What is silent needs no entry then."""
        table = duplicate_consent.c
        own = table.sync == sync
        with self.writing("settle what duplicates say", fenced=True) as connection:
            unheard = sa.update(duplicate_consent).where(own, table.heard.is_(None)).values(heard=SILENCE)
            connection.execute(unheard)


def states_of(rows: pl.DataFrame, columns: Sequence[MappedColumn], *, without: str | None = None) -> pl.Series:
    """The consent states of rows as JSON by column.

    Args:
        rows: mapped rows.
        columns: the mapping's columns.
        without: a state to leave out: the most lenient one restricts no other row's.
    """
    names = _consent_names(columns)

    def text(row: tuple[Any, ...]) -> str:
        told = {name: state for name, state in zip(names, row, strict=True) if state not in {None, without}}
        return orjson.dumps(told).decode()

    return pl.Series("states", [text(row) for row in rows.select(names).iter_rows()], dtype=pl.String)


def acknowledged_words(
    known: pl.DataFrame,
    columns: Sequence[MappedColumn],
    layouts: Mapping[int, Sequence[str]],
    consent: ConsentRules,
    salt: int,
) -> pl.DataFrame:
    """What was acknowledged of rows, as if they said it still: WORDS of those that may restrict another.

    Args:
        known: the ledger's rows (LEDGER_ROW_SCHEMA).
        columns: the mapping's columns.
        layouts: the columns of every mapping version, by its number.
        consent: what the destination makes of consent states.
        salt: the ledger's, as of this identity.
    """
    names = _consent_names(columns)
    states = {state_fingerprint(state, salt): state for state in consent.rank if state != consent.most_lenient}
    words: list[tuple[int, int, str, str | None]] = []
    rows = known.drop_nulls(["sent_fields", "sent_mapping_version"])
    chosen = (SOURCE_PK, KEY_HASH, "sent_fields", "sent_mapping_version")
    for source_pk, key_hash, fields, version in rows.select(chosen).iter_rows():
        (prints,) = unpack(pl.Series([fields]), layouts[version], names).tolist()
        told = {name: states[each] for name, each in zip(names, prints, strict=True) if each in states}
        if told:
            words.append((source_pk, key_hash, orjson.dumps(told).decode(), None))
    return pl.DataFrame(words, WORDS, orient="row")


def restrained(
    mapped: pl.DataFrame,
    key_hashes: pl.Series,
    words: pl.DataFrame,
    columns: Sequence[MappedColumn],
    consent: ConsentRules,
    *,
    owners: pl.Series = NO_ROWS,
) -> pl.DataFrame:
    """The mapped rows, each with the most restrictive consent that any row of its key states.

    A state that a row does not tell itself is only made stricter than the destination's default.

    Args:
        mapped: the rows at hand; what they state counts for the others of their key.
        key_hashes: of their keys.
        words: WORDS; those of rows at hand are passed over, for they may have changed.
        columns: the mapping's columns.
        consent: what the destination makes of consent states.
        owners: `source_pk` of rows that have a profile of their own, and speak for no other: an older version made one
            of `C-1` and one of `C-1` with a blank that nobody sees. They meet in some batches and not in others.
    """
    names = _consent_names(columns)
    keys = mapped.select(SOURCE_PK).with_columns(key_hashes.alias(KEY_HASH))
    shared = keys.filter(pl.col(KEY_HASH).is_duplicated() & pl.col(KEY_HASH).is_not_null())
    elsewhere = words.join(keys, on=SOURCE_PK, how="anti").filter(pl.col(KEY_HASH).is_in(key_hashes.implode()))
    if not names or (shared.is_empty() and elsewhere.is_empty()):
        return mapped

    def rank(states: pl.Expr) -> pl.Expr:
        return states.replace_strict(dict(consent.rank), default=None, return_dtype=pl.Int8)

    here = mapped.select(SOURCE_PK, *(rank(pl.col(name)).alias(name) for name in names))
    stated = pl.concat(
        [
            shared.filter(~pl.col(SOURCE_PK).is_in(owners.implode())).join(here, on=SOURCE_PK).select(KEY_HASH, *names),
            elsewhere.select(KEY_HASH, *(rank(_state(name)).alias(name) for name in names)),
        ]
    )
    strictest = stated.group_by(KEY_HASH).agg(pl.col(names).max().name.prefix("_strictest."))
    found = keys.join(strictest, on=KEY_HASH, how="left", maintain_order="left")
    words_of = {place: state for state, place in consent.rank.items()}
    return (
        mapped.with_columns(found.drop(SOURCE_PK, KEY_HASH))
        .with_columns(
            pl.when(pl.col(f"_strictest.{name}") > rank(pl.col(name)).fill_null(consent.rank[consent.default]))
            .then(pl.col(f"_strictest.{name}").replace_strict(words_of, default=None, return_dtype=pl.String))
            .otherwise(name)
            .alias(name)
            for name in names
        )
        .drop(f"_strictest.{name}" for name in names)
    )


def spoken_anew(owners: pl.DataFrame, words: pl.DataFrame, columns: Sequence[MappedColumn]) -> pl.DataFrame:
    """The words whose key's owner has said something else since it was read with them.

    Args:
        owners: mapped rows with `key_hash`.
        words: WORDS.
        columns: the mapping's columns.
    """
    names = _consent_names(columns)
    states = owners.select(KEY_HASH, *(pl.col(name).alias(f"_own.{name}") for name in names))
    both = words.filter(pl.col("heard").is_not_null()).join(states, on=KEY_HASH, how="inner", maintain_order="left")
    differs = pl.any_horizontal(
        pl.lit(value=False),
        *(
            _state(name).is_not_null()
            & pl.col(f"_own.{name}").is_not_null()
            & pl.col(f"_own.{name}").ne_missing(_state(name, of="heard"))
            for name in names
        ),
    )
    return both.filter(differs).select(WORDS.names())


def _consent_names(columns: Sequence[MappedColumn]) -> list[str]:
    return [column.name for column in columns if column.role != "attribute"]


def _state(name: str, *, of: str = "states") -> pl.Expr:
    return pl.col(of).str.json_path_match(f"$['{name}']")


def _with_heard(known: dict[int, Any]) -> Any:
    """From source_pk, key_hash and states of a duplicate to its entry; None where that stands already."""

    def entry(row: tuple[int, int, str]) -> tuple[int, int, str, str | None] | None:
        before = known.get(row[0])
        if before is not None and (before.key_hash, before.states) == row[1:]:
            return None
        news = row[2] != SILENCE or (before is not None and before.states != SILENCE)
        return (*row, None if news else SILENCE)

    return entry


def _of(sync: str, source_pks: pl.Series) -> sa.Select[Any]:
    """The entries between the first and the last of these rows, which are read by range."""
    table = duplicate_consent.c
    low, high = source_pks.min(), source_pks.max()
    return sa.select(table.source_pk, table.key_hash, table.states).where(
        table.sync == sync, table.source_pk >= low, table.source_pk <= high
    )


def _delete(connection: sa.Connection, sync: str, source_pks: Sequence[int]) -> None:
    table = duplicate_consent.c
    for start in range(0, len(source_pks), _PKS_A_STATEMENT):
        chosen = source_pks[start : start + _PKS_A_STATEMENT]
        connection.execute(sa.delete(duplicate_consent).where(table.sync == sync, table.source_pk.in_(chosen)))

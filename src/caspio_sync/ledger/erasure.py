"""Who was erased: a keyed hash of each key that blocks it for ever, or until it is released.

    requested ─▶ deleted ─▶ proven        the entry stands before anybody is asked: nothing re-creates what is to go

A hash is made with a secret of the ledger's own, so that the table alone names nobody. It is of the identity and the
key without case, and holds for every sync of the ledger that has this identity: two syncs may write to one profile.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import audit, history, schema
from caspio_sync.ledger.bearers import bearing, folded
from caspio_sync.ledger.bulk import integer_lists
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.duplicate_consent import duplicate_consent
from caspio_sync.ledger.engagement_people import forget_people, people_of
from caspio_sync.ledger.engagement_schema import agreed
from caspio_sync.ledger.events_schema import ONCE, journal
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.forgetting import forget_by_hash
from caspio_sync.ledger.form import instant, microseconds
from caspio_sync.ledger.moved_keys import former_spellings, moved_key
from caspio_sync.ledger.raw_prints import forget_prints
from caspio_sync.ledger.run_record import OPEN
from caspio_sync.ledger.sending import forget_sending
from caspio_sync.schemas import SOURCE_PK
from caspio_sync.text_columns import trimmed_values

REQUESTED, DELETED, PROVEN = "requested", "deleted", "proven"
_DIGESTS_A_QUERY = 500

_TABLES = {"sync": pl.String, "table": pl.String}

Identifier = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Naming:
    """How a destination is told whom it is about.

    Args:
        identifier: from kind, label and key to the identifier.
        key: from the identifier to the key.
    """

    identifier: Callable[[str, str | None, str], Identifier]
    key: Callable[[Identifier], str]


@dataclass(frozen=True, slots=True)
class Keyspace:
    """What a key is a key of: the same text names another profile under another identity.

    Args:
        kind: external_id, user_alias, email or phone.
        label: the alias label.
        naming: how the destination names whoever bears a key; only where somebody is to be deleted there.
    """

    kind: str
    label: str | None = None
    naming: Naming | None = None

    def identifier(self, key: str) -> Identifier:
        """The key as the destination's identifier."""
        assert self.naming is not None
        return self.naming.identifier(self.kind, self.label, key)

    def key(self, identifier: Identifier) -> str:
        """The inverse of `identifier`."""
        assert self.naming is not None
        return self.naming.key(identifier)


@dataclass(frozen=True, slots=True)
class Erased:
    """One entry of the table.

    Args:
        key_digest: keyed hash of the key.
        state: requested, deleted, proven.
        identifiers: the destination's, until the deletion is proven; then none.
    """

    key_digest: str
    state: str
    identifiers: tuple[Identifier, ...]


class Erasures(LedgerConnection):
    """The blocked keys, the steps of their erasure, and what they remove from the ledger."""

    def key_digests(self, keyspace: Keyspace, keys: Iterable[str]) -> list[str]:
        """HMAC-SHA256 of each key, hex, without case and outer blanks: Caspio compares so."""
        return self._digests(keyspace, map(folded, keys))

    def former_digests(self, keyspace: Keyspace, keys: Iterable[str]) -> list[str]:
        """As versions made them that took fewer signs for blanks; whom they erased is erased."""
        return self._digests(keyspace, (key.strip().lower() for key in keys))

    def _digests(self, keyspace: Keyspace, folded: Iterable[str]) -> list[str]:
        secret = self.erasure_secret
        head = f"{keyspace.kind}\0{keyspace.label or ''}\0".encode()
        return [hmac.digest(secret, head + key.encode(), "sha256").hex() for key in folded]

    def blocked(self, keyspace: Keyspace, keys: pl.Series, *, more: frozenset[str] = frozenset()) -> pl.Series:
        """Whether each key is blocked, a null never; costs one look where nobody was ever erased.

        Args:
            keyspace: what the keys are keys of.
            keys: String.
            more: further digests that count as blocked.
        """
        nobody = pl.Series("blocked", [False], dtype=pl.Boolean).new_from_index(0, len(keys))
        if keys.null_count() == len(keys):  # as the former keys of most batches are
            return nobody
        with self.reading("read who was erased", fold=False) as connection:
            erased = set(connection.execute(sa.select(schema.erased.c.key_digest)).scalars())
        erased |= more
        if not erased:
            return nobody
        texts = keys.fill_null("")
        digests = pl.Series(self.key_digests(keyspace, texts.to_list()), dtype=pl.String)
        blocked = digests.is_in(list(erased))
        blanks = texts.to_frame("key").select(trimmed_values(pl.col("key")) != pl.col("key")).to_series().arg_true()
        former = pl.Series(self.former_digests(keyspace, texts.gather(blanks).to_list()), dtype=pl.String)
        blocked = blocked.scatter(blanks, blocked.gather(blanks) | former.is_in(list(erased)))
        return (blocked & keys.is_not_null()).alias("blocked")

    def erased(self, key_digests: Sequence[str]) -> dict[str, Erased]:
        """The entries of these keys, by digest, whichever sync made them."""
        table = schema.erased.c
        found: dict[str, Erased] = {}
        with self.reading("read who was erased") as connection:
            for start in range(0, len(key_digests), _DIGESTS_A_QUERY):
                chosen = sa.select(schema.erased).where(
                    table.key_digest.in_(key_digests[start : start + _DIGESTS_A_QUERY])
                )
                found |= {row.key_digest: _erased(row) for row in connection.execute(chosen)}
        return found

    def request_erasure(
        self, sync: str, keyspace: Keyspace, keys: Sequence[str], *, by: str, again: bool = False
    ) -> int:
        """Write down whom to erase: blocked from here on. A key whose erasure is under way stays as it is.

        Args:
            sync: name of the sync.
            keyspace: what the keys are keys of.
            keys: as the mapping gives them; every other spelling that the ledger knows is erased as well.
            by: where the request came from, for the audit trail.
            again: also those whose deletion was proven before; somebody else may have made the profile anew.

        Returns:
            How many were written.
        """
        now = self.now()
        asked = dict(zip(self.key_digests(keyspace, keys), keys, strict=True))
        table = schema.erased
        done = sa.select(table.c.key_digest)
        with self.writing("request an erasure") as connection:
            audit.lock(connection)
            for digest in connection.execute(done.where(table.c.state != PROVEN) if again else done).scalars():
                asked.pop(digest, None)
            spellings = self._spellings(connection, keyspace, list(asked.values()))
            rows = [
                {
                    "sync": sync,
                    "key_digest": digest,
                    "at": now,
                    "state": REQUESTED,
                    "identifiers": [
                        keyspace.identifier(each) for each in dict.fromkeys([key, *spellings[folded(key)]])
                    ],
                }
                for digest, key in asked.items()
            ]
            if rows:
                _delete_entries(connection, list(asked))
                connection.execute(sa.insert(table), rows)
            audit.append(
                connection,
                at=microseconds(now),
                sync=sync,
                event=REQUESTED,
                subjects={digest: {"by": by} for digest in asked},
            )
        return len(rows)

    def pending_erasures(self, sync: str) -> list[Erased]:
        """Whom this sync has asked to erase, and whose deletion is not proven."""
        table = schema.erased.c
        chosen = (
            sa.select(schema.erased)
            .where(table.sync == sync, table.state != PROVEN)
            .order_by(table.at, table.key_digest)
        )
        with self.reading("read pending erasures") as connection:
            return [_erased(row) for row in connection.execute(chosen)]

    def mark_deleted(self, sync: str, key_digests: Sequence[str], *, details: Mapping[str, Any]) -> None:
        """Write down that a request to delete them was taken."""
        at = microseconds(self.now())
        digests = list(dict.fromkeys(key_digests))
        with self.writing("record a deletion") as connection:
            audit.lock(connection)
            connection.execute(_of(sync, digests).values(state=DELETED))
            audit.append(connection, at=at, sync=sync, event=DELETED, subjects=dict.fromkeys(digests, details))

    def mark_proven(self, sync: str, keyspace: Keyspace, proven: Sequence[Erased]) -> int:
        """Write down that the destination no longer knows them, and take all that the ledger tells of them out of it.

        Returns:
            How many rows of the ledger are gone.
        """
        at = microseconds(self.now())
        with self.writing("record a proof") as connection:
            audit.lock(connection)
            gone = self._forget(connection, keyspace, proven)
            digests = list(gone)
            for start in range(0, len(digests), _DIGESTS_A_QUERY):
                some = digests[start : start + _DIGESTS_A_QUERY]
                connection.execute(_of(sync, some).values(state=PROVEN, identifiers=None))
            audit.append(connection, at=at, sync=sync, event=PROVEN, subjects={digest: {} for digest in digests})
            cleared = {digest: {"rows": rows} for digest, rows in gone.items()}
            audit.append(connection, at=at, sync=sync, event="cleared", subjects=cleared)
        return sum(gone.values())

    def release_erased(self, sync: str, keyspace: Keyspace, keys: Sequence[str]) -> list[str]:
        """Lift the block, in every sync: the next read of such a row finds it new.

        Returns:
            The digests of the keys that were blocked.
        """
        at = microseconds(self.now())
        asked = dict(zip(self.key_digests(keyspace, keys), keys, strict=True))
        asked |= dict(zip(self.former_digests(keyspace, keys), keys, strict=True))
        table = schema.erased.c
        with self.writing("release erased keys") as connection:
            audit.lock(connection)
            chosen = sa.select(table.key_digest, table.state).where(table.key_digest.in_(list(asked)))
            blocked = connection.execute(chosen).all()
            released = sorted({each.key_digest for each in blocked})
            gone = {each.key_digest for each in blocked if each.state != REQUESTED}
            # Also of one that was not deleted yet: what is left of it there is unknown, so all of it is to be sent. Not
            # so what it did: that may still be there, and would be counted twice.
            freed = [Erased(digest, "", (keyspace.identifier(asked[digest]),)) for digest in released]
            deleted = self._forget(connection, keyspace, [each for each in freed if each.key_digest in gone])
            others = [each for each in freed if each.key_digest not in gone]
            rows = deleted | self._forget(connection, keyspace, others, kept=_once(connection), there=True)
            cleared = {digest: {"rows": count} for digest, count in rows.items()}
            audit.append(connection, at=at, sync=sync, event="released", subjects=cleared)
            _delete_entries(connection, released)
        return released

    def last_written(self, sync: str, keyspace: Keyspace, wanted: Sequence[Erased]) -> dict[str, datetime]:
        """When something may last have left for each of them, by digest: none for whom nothing did.

        A batch that is open although no run is under way was killed while it may have been sending anybody.
        """
        batch, run = schema.batch.c, schema.run.c
        open_batches = sa.select(sa.func.max(batch.at)).where(
            batch.state == OPEN, batch.run.in_(sa.select(run.id).where(run.sync == sync))
        )
        written: dict[str, datetime] = {}
        with self.reading("read when rows were last sent") as connection:
            killed = connection.execute(open_batches).scalar()
            keys = _keys(keyspace, wanted)
            for asked, sent_at in self._bearing(connection, keyspace, list(keys)).select("asked", "sent_at").rows():
                if sent_at is not None:
                    newest = written.get(keys[asked], instant(sent_at))
                    written[keys[asked]] = max(newest, instant(sent_at))
        if killed is not None:
            written = {one.key_digest: max(killed, written.get(one.key_digest, killed)) for one in wanted}
        return written

    def known_rows(self, keyspace: Keyspace, key: str) -> int:
        """How many rows of the ledger bear this key, in all syncs of this identity."""
        with self.reading("look up a key") as connection:
            return len(self._bearing(connection, keyspace, [folded(key)]))

    def _forget(
        self,
        connection: sa.Connection,
        keyspace: Keyspace,
        people: Sequence[Erased],
        *,
        kept: Sequence[str] = (),
        there: bool = False,
    ) -> dict[str, int]:
        """Take people's rows, history and mentions out of the ledger; how many rows are gone, by digest.

        Args:
            connection: in a write transaction.
            keyspace: of their keys.
            people: who they are.
            kept: syncs of which rows that have left stay.
            there: whether the destination has them still.
        """
        keys = _keys(keyspace, people)
        history.forget_in_reports(connection, list(keys))
        salt = identity_salt(self._salt_of(connection), keyspace.kind, keyspace.label)
        hashes = key_hashes(pl.Series(list(keys), dtype=pl.String), salt)
        forget_sending(connection, hashes, but=kept)
        borne = self._bearing(connection, keyspace, list(keys))
        has_left = pl.col("sent_at").is_not_null().any().over("sync", SOURCE_PK)
        borne = borne.filter(~(pl.col("sync").is_in(list(kept)) & has_left))
        for (sync,), rows in _with_returns(connection, borne).group_by("sync"):
            history.forget(connection, str(sync), rows[SOURCE_PK])
            for numbers in integer_lists(rows[SOURCE_PK]):
                pks = [int(number) for number in numbers.split(",")]
                for table in (schema.row, schema.former, agreed, duplicate_consent, moved_key, journal):
                    chosen = sa.delete(table).where(table.c.sync == sync, table.c.source_pk.in_(pks))
                    connection.execute(chosen)
            forget_prints(connection, str(sync), rows[SOURCE_PK])
        forget_by_hash(connection, hashes, there=there)
        bearers = people_of(
            keyspace.kind,
            keyspace.label,
            [(keyspace.key(each), one.key_digest) for one in people for each in one.identifiers],
        )
        forget_people(connection, bearers, self._salt_of(connection))
        gone = {one.key_digest: 0 for one in people}
        for asked in borne["asked"]:
            gone[keys[asked]] += 1
        return gone

    def _spellings(self, connection: sa.Connection, keyspace: Keyspace, keys: Sequence[str]) -> dict[str, list[str]]:
        """Every spelling that the ledger knows of a key, and the one before that is still there; by the key, folded."""
        found: dict[str, list[str]] = {folded(key): [] for key in keys}
        borne = self._bearing(connection, keyspace, list(found))
        for key in borne["key"].drop_nulls():
            found[folded(key)].append(key)
        for asked, former in former_spellings(connection, borne):
            found[asked].append(former)
        return found

    def _bearing(self, connection: sa.Connection, keyspace: Keyspace, keys: Sequence[str]) -> pl.DataFrame:
        """As `bearing`, of keys of this keyspace."""
        return bearing(connection, identity_salt(self._salt_of(connection), keyspace.kind, keyspace.label), keys)

    @staticmethod
    def _salt_of(connection: sa.Connection) -> int:
        stored = sa.select(schema.meta.c.value).where(schema.meta.c.name == "salt")
        return int(connection.execute(stored).scalar_one())

    @cached_property
    def erasure_secret(self) -> bytes:
        """What digests of keys are made with; each ledger has its own."""
        stored = sa.select(schema.meta.c.value).where(schema.meta.c.name == "erasure_secret")
        with self.reading("read the erasure secret") as connection:
            return bytes.fromhex(connection.execute(stored).scalar_one())


def _once(connection: sa.Connection) -> list[str]:
    """Syncs of which each row leaves once."""
    ran = sa.select(schema.run.c.sync).where(schema.run.c.kind.in_(ONCE)).distinct()
    return list(connection.execute(ran).scalars())


def _with_returns(connection: sa.Connection, borne: pl.DataFrame) -> pl.DataFrame:
    """Names of syncs and `source_pk`: these rows, and the same rows of the same tables in engagement returns.

    A return may know them by another identity, and agrees on consent also of rows that it never wrote.
    """
    rows = borne.select("sync", SOURCE_PK)
    found = connection.execute(sa.select(schema.source.c.sync, schema.source.c.fields))
    tables = pl.DataFrame([(sync, fields["source"]) for sync, fields in found], _TABLES, orient="row")
    returns = connection.execute(sa.select(schema.run.c.sync).where(schema.run.c.kind == "engagement").distinct())
    returning = tables.filter(pl.col("sync").is_in(list(returns.scalars())))
    same = rows.join(tables, on="sync").drop("sync").join(returning, on="table").select("sync", SOURCE_PK)
    return pl.concat([rows, same]).unique()


def _keys(keyspace: Keyspace, people: Sequence[Erased]) -> dict[str, str]:
    """Everybody's keys without case, and whose they are."""
    return {folded(keyspace.key(each)): one.key_digest for one in people for each in one.identifiers}


def _erased(row: Any) -> Erased:
    return Erased(row.key_digest, row.state, tuple(row.identifiers or ()))


def _of(sync: str, key_digests: Sequence[str]) -> sa.Update:
    table = schema.erased.c
    return sa.update(schema.erased).where(table.sync == sync, table.key_digest.in_(list(key_digests)))


def _delete_entries(connection: sa.Connection, key_digests: Sequence[str]) -> None:
    for start in range(0, len(key_digests), _DIGESTS_A_QUERY):
        chosen = schema.erased.c.key_digest.in_(key_digests[start : start + _DIGESTS_A_QUERY])
        connection.execute(sa.delete(schema.erased).where(chosen))

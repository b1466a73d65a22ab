"""Keys that older versions read with blanks at their ends, on both databases."""

import polars as pl
import pytest
import sqlalchemy as sa

from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.engine.owners import bears_its_key
from caspio_sync.ledger.blanks import mark_former_keys
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes, text_hashes
from caspio_sync.ledger.former_keys import with_former_keys
from caspio_sync.ledger.schema import meta, row
from caspio_sync.ledger.store import Ledger
from caspio_sync.schemas import FORMER_KEY

HIDDEN = "\u200b"


def test_keys_that_look_alike_have_one_hash() -> None:
    keys = pl.Series(["C-1", f"c-1{HIDDEN}", "\ufeffC-1 ", f"C{HIDDEN}-1", None])
    hashes = key_hashes(keys, 7).to_list()
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
    assert hashes[4] is None
    assert text_hashes(keys, 7)[0] != text_hashes(keys, 7)[1]


def test_the_migration_gives_such_keys_the_hash_of_what_one_sees(ledger_url: str) -> None:
    salts = {"people": 5, "alias": identity_salt(5, "user_alias", "crm")}
    keys = {1: "C-1", 2: f"C-2{HIDDEN}", 3: "\u3000C-3", 4: f"C{HIDDEN}4"}
    common = {"holds": 1, "sent_mapping_version": 1, "suite_version": 1, "mapping_version": 1, "verdict": "sent"}
    with Ledger.open(ledger_url) as ledger:
        with ledger.writing("rows of an older version") as connection:
            for sync, salt in salts.items():
                old = text_hashes(pl.Series(list(keys.values())), salt).to_list()
                for (number, key), hashed in zip(keys.items(), old, strict=True):
                    given = {"sync": sync, "source_pk": number, "key": key, "key_hash": hashed, **common}
                    connection.execute(sa.insert(row).values(given))
            connection.execute(sa.insert(row).values(sync="sound", source_pk=1, key="a", key_hash=1, **common))
            mark_former_keys(connection)
        with ledger.reading("marks") as connection:
            marks = connection.execute(sa.select(meta.c.name).where(meta.c.name.contains("former"))).scalars().all()
        assert sorted(marks) == ["former keys of alias", "former keys of people"]
        for sync, salt in salts.items():
            ledger.hash_former_keys(sync, salt)
            wanted = key_hashes(pl.Series(list(keys.values())), salt).to_list()
            with ledger.reading("hashes") as connection:
                stored = sa.select(row.c.key_hash).where(row.c.sync == sync).order_by(row.c.source_pk)
                assert connection.execute(stored).scalars().all() == wanted
        with ledger.reading("marks") as connection:
            assert connection.execute(sa.select(meta.c.name).where(meta.c.name.contains("former"))).all() == []


@pytest.mark.parametrize(
    ("known", "sent", "cell", "key"),
    [
        (f"C-1{HIDDEN}", b"f", f"C-1{HIDDEN}", f"C-1{HIDDEN}"),
        (f"C-1{HIDDEN}", None, f"C-1{HIDDEN}", "C-1"),  # nothing was acknowledged
        (f"C-1{HIDDEN}", b"f", None, "C-1"),  # the cell was corrected
        (f"C-1{HIDDEN}", b"f", "\ufeffC-1", "C-1"),
        ("C-1", b"f", f"C-1{HIDDEN}", "C-1"),
        (None, None, f"C-1{HIDDEN}", "C-1"),
    ],
)
def test_a_row_keeps_the_key_that_was_acknowledged(
    known: str | None, sent: bytes | None, cell: str | None, key: str
) -> None:
    mapped = pl.DataFrame({"source_pk": [1], "key": ["C-1"], FORMER_KEY: pl.Series([cell], dtype=pl.String)})
    rows = {"source_pk": [1], "key": pl.Series([known], dtype=pl.String), "sent_fields": pl.Series([sent], dtype=pl.Binary)}  # fmt: skip
    kept = with_former_keys(mapped, pl.DataFrame(rows))
    assert kept["key"].to_list() == [key]
    assert kept.columns == mapped.columns


def test_erased_keys_count_in_both_readings(ledger_url: str) -> None:
    space = Keyspace("external_id", naming=NAMING)
    with Ledger.open(ledger_url) as ledger:
        (former,) = ledger.former_digests(space, [f" C-3{HIDDEN}"])
        assert former != ledger.key_digests(space, [f"C-3{HIDDEN}"])[0]
        assert ledger.key_digests(space, [f"C-3{HIDDEN}"]) == ledger.key_digests(space, ["c-3"])
        keys = pl.Series(["C-3", f"C-3{HIDDEN}", "C-4", None])
        blocked = ledger.blocked(space, keys, more=frozenset([former]))
        assert blocked.to_list() == [False, True, False, False]
        now = frozenset(ledger.key_digests(space, ["C-3"]))
        assert ledger.blocked(space, keys, more=now).to_list() == [True, True, False, False]


def test_an_owner_bears_its_key_whatever_blanks_stand_at_its_ends() -> None:
    frame = pl.DataFrame({"present_key": ["C-1", "c-1", "C-2"], "key": [f"C-1{HIDDEN}", "C-1", "C-1"]})
    assert frame.select(bears_its_key()).to_series().to_list() == [True, True, False]

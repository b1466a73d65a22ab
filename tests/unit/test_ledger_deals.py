"""Deals in the ledger, on both databases: what is noted, what becomes of it, and what an erasure takes away."""

from collections.abc import Iterator

import polars as pl
import pytest

from caspio_sync.ledger.erasure import Erased, Keyspace, Naming
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.store import Ledger
from tests.unit.test_ledger_erasure import START
from tests.virtual_clock import VirtualClock

PEOPLE = Keyspace("email", naming=Naming(lambda _kind, _label, key: {"email": key}, lambda named: str(named["email"])))
SYNC = "deals"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=VirtualClock(START)) as opened:
        yield opened


def rows(ledger: Ledger, *pairs: tuple[str, str]) -> pl.DataFrame:
    """Keys of deals and addresses of their contacts."""
    frame = pl.DataFrame(list(pairs), schema=["key", "contact"], orient="row")
    return frame.with_columns(
        key_hashes(frame["key"], identity_salt(ledger.salt, "deal", None)).alias("key_hash"),
        key_hashes(frame["contact"], identity_salt(ledger.salt, "email", None)).alias("contact_hash"),
    )


def known(ledger: Ledger, *keys: str) -> list[tuple[str | None, bool, str | None]]:
    """Number, whether it may be there, and the run that makes it."""
    found = {row["key"]: row for row in ledger.deals(SYNC, pl.Series(keys)).iter_rows(named=True)}
    return [(found[key]["number"], found[key]["left_at"] is not None, found[key]["made_by"]) for key in keys]


def record(ledger: Ledger, frame: pl.DataFrame) -> None:
    """The ledger's own rows of these deals, PK_ID 1 and on."""
    count = frame.height
    ledger.start_run(run="r1", sync=SYNC, kind="deals", mode="sweep")
    made = frame.select(
        pl.int_range(1, count + 1, dtype=pl.Int64).alias("source_pk"),
        "key",
        "key_hash",
        fp=pl.lit(b"f" * 16),
        sent_fields=pl.lit(b"s" * 8),
        changed=pl.lit(b"\x80"),
        part=pl.lit("profile"),
        verdict=pl.lit("sent"),
        reason=pl.lit(None, dtype=pl.String),
        request=pl.lit(1, dtype=pl.Int64),
        status=pl.lit(201, dtype=pl.Int64),
        suite_version=pl.lit(1, dtype=pl.Int64),
        mapping_version=pl.lit(1, dtype=pl.Int64),
    )
    ledger.record(sync=SYNC, run="r1", batch=1, rows=made)


def test_a_deal_is_noted_and_then_numbered_in_doubt_or_not_made(ledger: Ledger) -> None:
    frame = rows(ledger, ("a", "x@example.com"), ("b", "x@example.com"), ("c", "y@example.com"))
    ledger.note_deals(SYNC, "r1", frame)
    assert known(ledger, "a", "b", "c") == [(None, True, "r1")] * 3
    ledger.number_deals(SYNC, frame.head(1).with_columns(number=pl.lit("51")))
    ledger.doubt_deals(SYNC, pl.Series(["a", "b"]))  # one whose number is known is not in doubt
    ledger.note_not_made(SYNC, pl.Series(["c"]))
    assert known(ledger, "a", "b", "c") == [("51", True, "r1"), (None, True, None), (None, False, None)]
    assert ledger.deals("others", pl.Series(["a"])).is_empty()


def test_more_keys_than_a_query_takes(ledger: Ledger) -> None:
    frame = rows(ledger, *((f"k{number}", "x@example.com") for number in range(1_200)))
    ledger.note_deals(SYNC, "r1", frame)
    assert ledger.deals(SYNC, frame["key"]).height == 1_200
    ledger.note_not_made(SYNC, frame["key"])
    assert ledger.deals(SYNC, frame["key"])["left_at"].null_count() == 1_200


def test_an_erasure_takes_the_deals_of_a_person_and_their_rows_out(ledger: Ledger) -> None:
    frame = rows(ledger, ("a", "X@example.com"), ("b", "y@example.com"), ("c", "x@example.com"))
    ledger.note_deals(SYNC, "r1", frame)
    record(ledger, frame)
    ledger.request_erasure("contacts", PEOPLE, ["x@example.com"], by="hand")
    (pending,) = ledger.pending_erasures("contacts")
    ledger.mark_proven("contacts", PEOPLE, [pending])
    assert ledger.deals(SYNC, frame["key"])["key"].to_list() == ["b"]
    assert ledger.read_rows(SYNC, 0, 100)["key"].to_list() == ["b"]
    assert isinstance(pending, Erased)

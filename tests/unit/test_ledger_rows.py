"""What is recorded can be read back, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync.ledger.schema import CLAIM_SCHEMA, LEDGER_ROW_SCHEMA, RECORD_SCHEMA
from caspio_sync.ledger.store import Ledger
from caspio_sync.schemas import Verdict
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def a_row(source_pk: int, **changes: object) -> dict[str, object]:
    return {
        "source_pk": source_pk,
        "key": f"key-{source_pk}",
        "key_hash": source_pk * 7,
        "fp": source_pk.to_bytes(16, "big", signed=True),
        "sent_fields": b"\0\xff" * 8,
        "changed": b"\x07",
        "part": "profile",
        "verdict": "sent",
        "reason": None,
        "request": 1,
        "status": 201,
        "suite_version": 1,
        "mapping_version": 1,
    } | changes


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=RECORD_SCHEMA)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def ledger(ledger_url: str, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened


def record(ledger: Ledger, *rows: dict[str, object], run: str = "r1", batch: int = 1, sync: str = "customers") -> None:
    ledger.record(sync=sync, run=run, batch=batch, rows=frame(*rows))


def only(ledger: Ledger) -> dict[str, object]:
    (row,) = ledger.read_rows("customers", -(2**63), 2**63 - 1).to_dicts()
    return row


def test_an_empty_ledger_reads_as_an_empty_frame_of_the_schema(ledger: Ledger) -> None:
    assert ledger.read_rows("customers", 1, 10).schema == LEDGER_ROW_SCHEMA
    assert ledger.claims("customers", pl.Series([1], dtype=pl.UInt64)).schema == CLAIM_SCHEMA


def test_a_sent_row_is_read_back_whole(ledger: Ledger) -> None:
    record(ledger, a_row(5, suite_version=3, mapping_version=2))
    fp = a_row(5)["fp"]
    assert only(ledger) == {
        "source_pk": 5,
        "key": "key-5",
        "key_hash": 35,
        "sent_fp": fp,
        "sent_fields": b"\0\xff" * 8,
        "seen_fp": fp,
        "verdict": "sent",
        "suite_version": 3,
        "mapping_version": 2,
        "sent_mapping_version": 2,
    }


def test_a_new_row_that_is_held_has_nothing_sent(ledger: Ledger) -> None:
    record(ledger, a_row(5, verdict="quarantined", reason="email: no @", key=None, key_hash=None))
    row = only(ledger)
    assert (row["sent_fp"], row["sent_fields"], row["seen_fp"], row["verdict"]) == (
        None,
        None,
        a_row(5)["fp"],
        "quarantined",
    )
    assert (row["key"], row["key_hash"], row["sent_mapping_version"]) == (None, None, 0)


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict != "sent"])
def test_what_was_sent_stays_when_a_later_version_is_not(ledger: Ledger, verdict: str) -> None:
    record(ledger, a_row(5))
    record(
        ledger,
        a_row(5, fp=b"n" * 16, sent_fields=b"new", verdict=verdict, mapping_version=2, suite_version=4),
        run="r2",
    )
    row = only(ledger)
    assert (row["sent_fp"], row["sent_fields"], row["sent_mapping_version"]) == (a_row(5)["fp"], b"\0\xff" * 8, 1)
    assert (row["seen_fp"], row["verdict"], row["mapping_version"], row["suite_version"]) == (b"n" * 16, verdict, 2, 4)


def test_an_opt_out_of_a_row_that_was_never_sent_changes_nothing_but_the_sent_fields(ledger: Ledger) -> None:
    record(ledger, a_row(5, verdict="quarantined"))
    before = only(ledger)
    record(ledger, a_row(5, part="consent", fp=b"c" * 16, sent_fields=b"consent", mapping_version=2), run="r2")
    assert only(ledger) == before | {"sent_fields": b"consent", "sent_mapping_version": 2}


def test_after_an_opt_out_alone_no_version_passes_for_the_one_braze_holds(ledger: Ledger) -> None:
    record(ledger, a_row(5))
    before = only(ledger)
    record(ledger, a_row(5, part="consent", fp=b"c" * 16, sent_fields=b"consent"), run="r2")
    assert only(ledger) == before | {"sent_fields": b"consent", "sent_fp": bytes(16)}


def test_an_opt_out_under_another_key_is_all_that_is_known_of_that_key(ledger: Ledger) -> None:
    record(ledger, a_row(5))
    record(ledger, a_row(5, part="consent", key="other", key_hash=1, sent_fields=b"consent"), run="r2")
    row = only(ledger)
    assert (row["key"], row["sent_fields"], row["sent_fp"], row["seen_fp"]) == ("other", b"consent", None, None)
    assert row["verdict"] is None


def test_a_held_row_under_another_key_forgets_what_was_acknowledged_under_the_former_one(ledger: Ledger) -> None:
    record(ledger, a_row(5))
    record(ledger, a_row(5, key="other", key_hash=1, verdict="quarantined"), run="r2")
    row = only(ledger)
    assert (row["key"], row["sent_fields"], row["sent_fp"], row["verdict"]) == ("other", None, None, "quarantined")


def test_an_opt_out_of_an_unknown_row_makes_a_row_without_a_verdict(ledger: Ledger) -> None:
    record(ledger, a_row(5, part="consent"))
    row = only(ledger)
    assert (row["sent_fields"], row["sent_fp"], row["seen_fp"], row["verdict"]) == (b"\0\xff" * 8, None, None, None)


def test_an_opt_out_that_was_refused_leaves_the_row_alone(ledger: Ledger) -> None:
    record(ledger, a_row(5, part="consent", verdict="rejected"))
    assert ledger.read_rows("customers", 1, 10).is_empty()
    assert ledger.delivered("customers", "r1", 1).rows() == [(5, "consent")]


def test_the_profile_is_later_than_the_opt_out_of_the_same_frame(ledger: Ledger) -> None:
    record(ledger, a_row(5, sent_fields=b"all"), a_row(5, part="consent", sent_fields=b"consent"))
    assert only(ledger)["sent_fields"] == b"all"


def test_recording_twice_is_harmless(ledger: Ledger) -> None:
    for _ in range(2):
        record(ledger, a_row(5), a_row(6))
    assert ledger.read_rows("customers", 1, 10).height == 2
    assert ledger.delivered("customers", "r1", 1).rows() == [(5, "profile"), (6, "profile")]


def test_delivered_keeps_to_its_run_and_batch(ledger: Ledger) -> None:
    ledger.start_run(run="r1", sync="customers", kind="profiles", mode="full")
    ledger.open_batch(run="r1", number=1, low_pk=1, high_pk=5, rows=5)
    record(ledger, a_row(1), a_row(2, verdict="rejected"))
    record(ledger, a_row(6), batch=2)
    record(ledger, a_row(3), run="r2")
    assert ledger.delivered("customers", "r1", 1)["source_pk"].to_list() == [1, 2]


def test_ranges_and_syncs_are_kept_apart(ledger: Ledger) -> None:
    record(ledger, *[a_row(pk) for pk in range(1, 11)])
    record(ledger, a_row(4), sync="others")
    assert ledger.read_rows("customers", 3, 5)["source_pk"].to_list() == [3, 4, 5]


def test_more_rows_than_a_statement_and_a_fetch_hold(ledger: Ledger) -> None:
    rows = (
        frame(a_row(0))
        .select(pl.all().repeat_by(5001).explode(empty_as_null=True))
        .with_columns(source_pk=pl.int_range(5001), key_hash=pl.int_range(5001), key=pl.int_range(5001).cast(pl.String))
    )
    ledger.record(sync="customers", run="r1", batch=1, rows=rows)
    ledger.record(sync="customers", run="r2", batch=1, rows=rows.filter(pl.col("source_pk") % 1000 == 0))
    assert ledger.read_rows("customers", 0, 9999)["source_pk"].to_list() == list(range(5001))
    assert ledger.claims("customers", pl.Series(range(6000))).height == 5001


def test_unsigned_hashes_keep_their_bits(ledger: Ledger) -> None:
    highest = 2**64 - 1
    rows = frame(a_row(1)).with_columns(key_hash=pl.Series([highest], dtype=pl.UInt64))
    ledger.record(sync="customers", run="r1", batch=1, rows=rows)
    assert only(ledger)["key_hash"] == -1
    assert ledger.claims("customers", pl.Series([highest, None], dtype=pl.UInt64))["source_pk"].to_list() == [1]


def test_the_holder_of_a_key_stands_before_a_later_claimant(ledger: Ledger) -> None:
    record(ledger, a_row(9, key="K", key_hash=1))
    record(ledger, a_row(2, key="k", key_hash=1, verdict="quarantined"))
    assert ledger.claims("customers", pl.Series([1])).rows() == [(1, 9, "K", True), (1, 2, "k", False)]


def test_a_row_that_takes_another_key_lets_go_of_the_first(ledger: Ledger) -> None:
    record(ledger, a_row(1))
    record(ledger, a_row(1, key="other", key_hash=99), run="r2")
    assert ledger.claims("customers", pl.Series([7, 99])).rows() == [(99, 1, "other", True)]


def test_a_row_that_claims_a_key_without_being_sent_does_not_hold_it(ledger: Ledger) -> None:
    record(ledger, a_row(1), a_row(2))
    record(ledger, a_row(1, key="key-2", key_hash=14, verdict="quarantined"), run="r2")
    assert ledger.claims("customers", pl.Series([14])).rows() == [(14, 2, "key-2", True), (14, 1, "key-2", False)]


def test_what_was_sent_under_a_former_key_is_not_read_as_sent(ledger: Ledger) -> None:
    record(ledger, a_row(1))
    record(ledger, a_row(1, key="other", key_hash=99, verdict="quarantined"), run="r2")
    row = only(ledger)
    assert (row["key"], row["sent_fp"], row["seen_fp"]) == ("other", None, a_row(1)["fp"])


def test_rebase_makes_a_row_current_under_the_new_mapping(ledger: Ledger) -> None:
    record(ledger, a_row(1, verdict="sent"))
    new = pl.DataFrame(
        {
            "source_pk": [1, 2],
            "fp": [b"n" * 16] * 2,
            "sent_fields": [b"f"] * 2,
            "mapping_version": [2] * 2,
            "suite_version": [3] * 2,
        }
    )
    ledger.rebase(sync="customers", rows=new)
    row = only(ledger)
    assert row["sent_fp"] == row["seen_fp"] == b"n" * 16
    assert (row["sent_fields"], row["mapping_version"], row["sent_mapping_version"], row["suite_version"]) == (
        b"f",
        2,
        2,
        3,
    )


def test_an_unknown_verdict_is_refused_before_anything_is_written(ledger: Ledger) -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError, match="sended"):
        record(ledger, a_row(1), a_row(2, verdict="sended"))
    assert ledger.read_rows("customers", 1, 9).is_empty()


def test_a_story_tells_the_row_and_its_outcomes_newest_first(ledger: Ledger, clock: VirtualClock) -> None:
    for run in ("r1", "r2"):
        ledger.start_run(run=run, sync="customers", kind="profiles", mode="full")
        record(ledger, a_row(1, verdict="sent" if run == "r1" else "rejected", reason=run), run=run)
        clock.advance(60)
    story = ledger.story("customers", "key-1")
    assert story is not None
    assert [(outcome.run, outcome.verdict, outcome.changed) for outcome in story.outcomes] == [
        ("r2", "rejected", b"\x07"),
        ("r1", "sent", b"\x07"),
    ]
    assert (story.sent_at, story.verdict, story.reason, story.rivals) == (START, "rejected", "r2", ())
    assert ledger.story("customers", "KEY-1", key_hash=7) == story
    assert ledger.story("customers", "nobody") is None


def test_counts_and_quarantine_tell_what_is_held(ledger: Ledger, clock: VirtualClock) -> None:
    record(ledger, a_row(1), a_row(2, verdict="quarantined", reason="email"), a_row(3, part="consent"))
    clock.advance(5)
    record(ledger, a_row(4, verdict="quarantined", reason="phone"))
    assert ledger.verdict_counts("customers") == {"quarantined": 2, "sent": 1}
    assert ledger.quarantine("customers")["source_pk"].to_list() == [4, 2]
    assert ledger.quarantine("customers", limit=1)["reason"].to_list() == ["phone"]
    assert ledger.newest_delivered("customers") == START
    assert ledger.newest_delivered("nothing") is None


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
longs = st.none() | st.integers(-(2**63), 2**63 - 1)


@given(
    pk=st.integers(-(2**63), 2**63 - 1),
    key=texts,
    reason=texts,
    key_hash=longs,
    fp=st.binary(min_size=16, max_size=16),
    fields=st.binary(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_survives(
    ledger: Ledger, *, pk: int, key: str | None, reason: str | None, key_hash: int | None, fp: bytes, fields: bytes
) -> None:
    record(ledger, a_row(pk, key=key, reason=reason, key_hash=key_hash, fp=fp, sent_fields=fields))
    row = ledger.read_rows("customers", pk, pk).row(0, named=True)
    assert (row["key"], row["key_hash"], row["sent_fp"], row["sent_fields"]) == (key, key_hash, fp, fields)

"""The gate of engagement returns: which rows it leaves as they are, and when nothing is written at all."""

import importlib
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.engine.gates import Judgement
from caspio_sync.engine.kind import mapping_of
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.mapping import CONSENT_SHARE, NEWS_AT, NOW, EngagementMapping, present
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from expectations.engagement import judged_frame
from expectations.suites import gate_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WALL = NOON.replace(tzinfo=None)  # as a cell holds it
FIELDS = [
    CaspioField(name, type_)
    for name, type_ in {
        "CustomerNo": "STRING", "Email": "STRING", "Opens": "STRING", "Clicks": "INTEGER", "Opened": "DATE/TIME",
        "Consent": "STRING",
    }.items()
]  # fmt: skip
SYNC = """\
kind: engagement
source: {table: Customers, time_zone: Europe/London}
identity: {external_id: CustomerNo, email: Email}
fields:
  Opens: email_opens
  Clicks: {measure: email_clicks, as: exact}
  Opened: email_last_open_at
consent:
  email_subscribe: {column: Consent, map: {yes: subscribed, no: unsubscribed}}
"""


@pytest.fixture(scope="module", autouse=True)
def _great_expectations() -> None:
    """Imported once: it takes seconds, and warns of what it imports itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def judged(*people: dict[str, Any], share: float = 0.0, news_at: datetime | None = None, **wanted: Any) -> Judgement:
    """The gate's word on rows that hold `people` now, and that should hold `wanted`."""
    sync = parse_sync(SYNC, Path("syncs/engagement.yaml"))
    mapping = mapping_of(sync, FIELDS)
    assert isinstance(sync, EngagementSync)
    assert isinstance(mapping, EngagementMapping)
    schema: dict[str, Any] = {"source_pk": pl.Int64} | {each.name: SOURCE_DTYPES[each.type] for each in FIELDS}
    schema |= {"uncastable": pl.List(pl.String)}
    rows = [dict.fromkeys(schema) | {"source_pk": n, "CustomerNo": f"c{n}"} | row for n, row in enumerate(people)]
    mapped = mapping.apply(pl.DataFrame(rows, schema=schema))
    changes = mapped.with_columns(
        *(
            pl.lit(wanted[each.name]).alias(each.name)
            if each.name in wanted
            else pl.col(present(each.name)).alias(each.name)
            for each in mapping.written
        ),
        pl.lit(share).alias(CONSENT_SHARE),
        pl.lit(NOON).alias(NOW),
        pl.lit(news_at, dtype=pl.Datetime("us", "UTC")).alias(NEWS_AT),
    )
    return gate_of("engagement", sync, mapping).judge(judged_frame(changes, sync, mapping))


def reasons(judgement: Judgement) -> dict[int, str]:
    return dict(zip(judgement.held["source_pk"].to_list(), judgement.held["reason"].to_list(), strict=True))


def test_a_row_that_somebody_is_known_by_is_written() -> None:
    judgement = judged({}, {"CustomerNo": None, "Email": "p@example.com"}, {"Consent": "yes"}, Opens="1")
    assert judgement.accepted["source_pk"].to_list() == [0, 1, 2]
    assert all(check.passed for check in judgement.checks)


def test_a_row_without_key_and_address_is_nobodys() -> None:
    judgement = judged({}, {"CustomerNo": None}, {"CustomerNo": " ", "Email": " "}, Opens="1")
    assert judgement.accepted["source_pk"].to_list() == [0]
    assert set(reasons(judgement)) == {1, 2}
    assert all(why.startswith("key_known") for why in reasons(judgement).values())


@pytest.mark.parametrize(
    ("now", "wanted", "falls"),
    [
        ({"Opens": "5-9"}, {"Opens": "10-19"}, False),
        ({"Opens": "5-9"}, {"Opens": "5-9"}, False),
        ({"Opens": "5-9"}, {"Opens": "2-4"}, True),
        ({"Opens": "100+"}, {"Opens": "50-99"}, True),
        ({"Opens": "many"}, {"Opens": "1"}, False),  # no value of ours: it says nothing
        ({"Clicks": 3}, {"Clicks": 4}, False),
        ({"Clicks": 3}, {"Clicks": 2}, True),
        ({"Clicks": None}, {"Clicks": 0}, False),
        ({"Opened": WALL}, {"Opened": WALL - timedelta(days=1)}, True),
        ({"Opened": WALL}, {"Opened": WALL + timedelta(hours=1)}, False),
    ],
)
def test_what_counts_up_does_not_fall(now: dict[str, Any], wanted: dict[str, Any], falls: bool) -> None:
    judgement = judged(now, **wanted)
    assert (list(reasons(judgement).values()) == ["count_falls"]) is falls
    assert judgement.accepted.is_empty() is falls


@pytest.mark.parametrize(("ahead", "held"), [(timedelta(hours=20), False), (timedelta(hours=25), True)])
def test_a_time_in_the_future_is_a_wrong_clock(ahead: timedelta, held: bool) -> None:
    """A wall clock may be hours ahead of UTC, not a day."""
    of_column = judged({}, Opened=(NOON + ahead).replace(tzinfo=None))
    of_news = judged({}, news_at=NOON + ahead)
    for judgement in (of_column, of_news):
        assert (list(reasons(judgement).values()) == ["time_future"]) is held


def test_a_word_of_consent_that_nobody_knows_is_not_overwritten() -> None:
    judgement = judged({"Consent": "yes"}, {"Consent": "perhaps"}, {"Consent": None})
    assert set(reasons(judgement)) == {1}
    assert reasons(judgement)[1].startswith("state_known")
    assert "perhaps" not in reasons(judgement)[1]


@pytest.mark.parametrize(("share", "blocks"), [(0.05, False), (0.0501, True)])
def test_too_many_consents_at_once_block_even_the_smallest_batch(share: float, blocks: bool) -> None:
    judgement = judged({}, share=share)
    assert (judgement.blocked is not None) is blocks
    assert not blocks or "more than 5% of all customers" in str(judgement.blocked)

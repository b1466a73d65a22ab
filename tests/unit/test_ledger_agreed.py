"""What the ledger remembers of consent, on both databases, and how a profile sync is told to send a state again."""

from datetime import UTC, datetime

import polars as pl
import pytest

from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.agreed import AGREED_SCHEMA, Told
from caspio_sync.ledger.store import Ledger
from caspio_sync.schemas import SOURCE_PK, MappedColumn, Verdict

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
COLUMNS = (MappedColumn("first_name", pl.String), MappedColumn("email_subscribe", pl.String, role="consent"))


def agreed(*rows: tuple[int, str, str, datetime | None, datetime | None]) -> pl.DataFrame:
    return pl.DataFrame([(*row, None) for row in rows], schema=AGREED_SCHEMA, orient="row")


def test_what_was_agreed_is_read_back_by_range_and_overwritten(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        first = agreed((1, "email", "subscribed", None, None), (9, "push", "unsubscribed", NOON, NOON))
        ledger.agree("back", first, None)
        ledger.agree("back", agreed((1, "email", "unsubscribed", NOON, None)), None)
        ledger.agree("other", agreed((2, "email", "subscribed", None, None)), None)
        assert ledger.agreed("back", 1, 5).equals(agreed((1, "email", "unsubscribed", NOON, None)))
        assert ledger.agreed("back", 1, 9).height == 2


@pytest.mark.parametrize("unless", ["unsubscribed", None])
def test_a_profile_sync_sends_the_told_attribute_again_and_no_other(ledger_url: str, unless: str | None) -> None:
    mapped = pl.DataFrame(
        {SOURCE_PK: [1, 2], "first_name": ["A", "B"], "email_subscribe": ["subscribed", "subscribed"]}
    )
    with Ledger.open(ledger_url) as ledger:
        version = ledger.mapping_version("customers", "digest", [column.name for column in COLUMNS])
        prints = fp.field_fingerprints(mapped, COLUMNS, ledger.salt)
        sent = mapped.select(
            SOURCE_PK,
            pl.format("c{}", SOURCE_PK).alias("key"),
            pl.col(SOURCE_PK).alias("key_hash"),
            pl.Series("fp", [b"1" * 16, b"2" * 16]),
            fp.pack(prints).alias("sent_fields"),
            pl.lit(b"").alias("changed"),
            pl.lit("profile").alias("part"),
            pl.lit("sent").alias("verdict"),
            pl.lit(None, dtype=pl.String).alias("reason"),
            pl.lit(1).alias("request"),
            pl.lit(201).alias("status"),
            pl.lit(1).alias("suite_version"),
            pl.lit(version).alias("mapping_version"),
        )
        ledger.record(sync="customers", run="r", batch=1, rows=sent)
        layouts = ledger.mapping_fields("customers")

        def told(*unless: str | None) -> Told:
            tell = {SOURCE_PK: [1, 2, 3], "attribute": ["email_subscribe"] * 3, "unless": unless}
            return Told("customers", pl.DataFrame(tell, schema_overrides={"unless": pl.String}), layouts, ledger.salt)

        both = agreed((2, "email", "subscribed", NOON, NOON))
        # What Braze holds too, and was acknowledged last, is not sent once more.
        ledger.agree("back", both, told("subscribed", "subscribed", "subscribed"))
        assert ledger.read_rows("customers", 1, 9)["verdict"].to_list() == ["sent", "sent"]
        ledger.agree("back", both, told("subscribed", unless, "subscribed"))
        rows = ledger.read_rows("customers", 1, 9)
        assert rows["verdict"].to_list() == ["sent", Verdict.DRIFTED]
        left = fp.unpack(rows["sent_fields"], layouts[version], layouts[version])
        assert left[0].tolist() == prints[0].tolist()
        assert left[1].tolist() == [prints[1, 0], fp.NEVER_SENT]
        assert ledger.owed("customers", suite=1, mapping=version) == [2]


@pytest.mark.parametrize("scope", ["email", "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"])
def test_nothing_is_agreed_of_rows_that_were_never_seen(ledger_url: str, scope: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        assert ledger.agreed("back", 0, 2**62).filter(pl.col("scope") == scope).is_empty()

"""The gate of engagement returns: what must be true before Caspio's rows are written.

A row that fails is left as it is, its opt-out apart. The share of consent changes is about the run as a whole: a wrong
filter, or a wrong list in Braze, must not unsubscribe everybody in Caspio.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import polars as pl

from caspio_sync.kinds.engagement.definition import MEASURES, EngagementSync
from caspio_sync.kinds.engagement.mapping import CONSENT_SHARE, NEWS_AT, NOW, EngagementMapping, present, state
from caspio_sync.kinds.engagement.wanted import BUCKETS
from caspio_sync.mapping.definition import Sync
from caspio_sync.schemas import KEY, ok
from expectations.gate import Expectation, Gate, GateLimits, expectation_from
from expectations.rules import is_true, rule_column

RULES: Mapping[str, str] = MappingProxyType(
    {
        "key_known": "a row without a key or address of its own is nobody's",
        "count_falls": "a count, or the time of the last time, that goes back has lost events; look at what was erased",
        "time_future": "a time in the future is a wrong clock, or a wrong time zone",
        "state_known": "a consent cell with a word that `map` does not know would be overwritten unread",
    }
)

_MOMENT = pl.Datetime("us", "UTC")
DAY_RULES: Mapping[str, str] = MappingProxyType({name: RULES[name] for name in ("count_falls", "time_future")})


def judged_frame(rows: pl.DataFrame, _sync: EngagementSync, mapping: EngagementMapping) -> pl.DataFrame:
    """The changes with one boolean column a rule, as the suite names them."""
    # Rows that are judged one by one (`why`, `quarantine show`) are no part of a run.
    of_runs = {CONSENT_SHARE: pl.lit(0.0), NOW: pl.lit(None, dtype=_MOMENT), NEWS_AT: pl.lit(None, dtype=_MOMENT)}
    rows = rows.with_columns(value.alias(name) for name, value in of_runs.items() if name not in rows.columns)
    return rows.with_columns(holds.fill_null(value=True).alias(rule_column(name)) for name, holds in _rules(mapping))


def suite(sync: EngagementSync, mapping: EngagementMapping) -> Sequence[Expectation]:
    """The suite: expectations about rows, and one about the share of people whose consent changes."""
    share = sync.gate.max_consent_share
    names = [name for name, _ in _rules(mapping)]
    return [
        *(is_true(name, rule_column(name), RULES[name], "critical") for name in names),
        expectation_from(
            "expect_column_max_to_be_between",
            {"column": CONSENT_SHARE, "max_value": share},
            severity="critical",
            meta={
                "name": "consent_share",
                "why": f"the run would change the consent of more than {share:.0%} of all customers in Caspio; look at "
                "what Braze tells, and raise gate.max_consent_share where that is meant",
                "at_any_size": True,
            },
        ),
    ]


def campaign_gate(name: str, sync: Sync) -> Gate:
    """The gate of the campaigns' table, and `judged_days` beside it."""
    rules = [is_true(rule, rule_column(rule), why, "critical") for rule, why in DAY_RULES.items()]
    limits = GateLimits(sync.gate.max_quarantined_share, sync.gate.min_rows, sync.gate.max_quarantined_rows)
    return Gate(f"{name}-campaigns", rules, limits, always=sync.gate.great_expectations == "always")


def judged_days(rows: pl.DataFrame, counts: Sequence[str], now: datetime) -> pl.DataFrame:
    """Days of campaigns with one boolean column a rule.

    Args:
        rows: as `campaign_stats.wanted_days` gives them.
        counts: their columns of counts.
        now: the present moment.
    """
    falls = pl.any_horizontal((pl.col(name) < pl.col(present(name))).fill_null(value=False) for name in counts)
    latest = pl.lit(now.replace(tzinfo=None)) + pl.duration(days=1)
    return rows.with_columns(
        (~falls).alias(rule_column("count_falls")),
        (pl.col("Day") <= latest).fill_null(value=True).alias(rule_column("time_future")),
    )


def _rules(mapping: EngagementMapping) -> Iterator[tuple[str, pl.Expr]]:
    """Name and condition of each rule; a null condition says nothing."""
    yield "key_known", pl.col(ok(KEY)) | pl.col("email").is_not_null() | pl.col("alias_name").is_not_null()
    rising = [
        column
        for column in mapping.written
        if column.form != "flag"
        and (MEASURES[column.measure] == "count" or column.measure.startswith("last_") or "_last_" in column.measure)
        and MEASURES[column.measure] != "text"
    ]
    if rising:
        yield "count_falls", pl.all_horizontal(_rises(column.name, column.form == "bucket") for column in rising)
    # A wall clock may be hours ahead of UTC.
    latest = pl.col(NOW) + pl.duration(days=1)
    times = [
        pl.col(column.name) <= latest.dt.replace_time_zone(None)
        for column in mapping.written
        if column.type == "DATE/TIME"
    ]
    news = [pl.col(NEWS_AT) <= latest]
    yield "time_future", pl.all_horizontal(each.fill_null(value=True) for each in [*times, *news])
    if mapping.states:
        yield "state_known", pl.all_horizontal(pl.col(ok(state(each.scope))) for each in mapping.states)


def _rises(name: str, is_bucket: bool) -> pl.Expr:
    """Whether the wanted value is not below the present one; what is no value of ours says nothing."""
    wanted, now = pl.col(name), pl.col(present(name))
    if is_bucket:
        order = {label: low for low, label in BUCKETS.items()}
        wanted, now = (
            pl.coalesce(each.cast(pl.String).replace_strict(order, default=None, return_dtype=pl.Int64), _number(each))
            for each in (wanted, now)
        )
    return (wanted >= now).fill_null(value=True)


def _number(column: pl.Expr) -> pl.Expr:
    return column.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)

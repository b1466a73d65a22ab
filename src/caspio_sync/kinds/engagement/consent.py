"""A consent state that Caspio and the destination both hold: which of the two changed it, and who wins where both did.

The ledger remembers per row and scope what was agreed on: the state, when it came about, and up to which news of
the destination's it counts. What differs from that in Caspio is Caspio's change; what the destination tells after it is
its own. A pure function.

    destination alone changed it    Caspio is written
    Caspio alone changed it         nothing is written: the profile sync carries it there
    both, to the same state         agreed
    both, to different ones         a conflict: by the policy Caspio is written, or the destination is told again

News from before Caspio's own change is a conflict as well, however late it arrives: a yes of yesterday must not undo
today's no.

What a poll merely sees is no consent that anybody gave (new profiles may be made `subscribed`): into a cell that
states nothing it writes an opt-out alone.

Whatever is decided on news, the destination is told Caspio's state once more. Between the news and now the profile sync
may have sent another state, and somebody may set Caspio's cell back to what was sent last: without that one echo either
would leave the two sides apart for good (the property test found both).
"""

from typing import Literal

import polars as pl

from caspio_sync.consent import ConsentRules
from caspio_sync.schemas import SOURCE_PK

Policy = Literal["most_restrictive", "newest", "caspio_wins", "destination_wins"]

MOMENT = pl.Datetime("us", "UTC")

# What is known of a row's state in one scope.
SIDES = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        "caspio": pl.String(),  # the state in the cell; null for an empty one, which states nothing
        "caspio_stamp": MOMENT,  # when it changed, where a field of the row says so
        "there": pl.String(),  # the newest state that is not our own doing; null for none
        "there_at": MOMENT,
        "there_seen": pl.Boolean(),  # whether a poll saw it, and nobody told of a change
        "agreed": pl.String(),  # of the ledger; null where the row was not seen before
        "agreed_at": MOMENT,  # null: before anybody looked
        "agreed_news": MOMENT,  # its news up to here are part of it; null for none
    }
)


def settle(sides: pl.DataFrame, policy: Policy, seen_at: pl.Expr, rules: ConsentRules) -> pl.DataFrame:
    """Decide for every row of one scope.

    Args:
        sides: SIDES; other columns stay.
        policy: who wins a conflict.
        seen_at: an aware time at which these rows were read: a change in Caspio without a stamp dates from then.
        rules: what the destination makes of consent states.

    Returns:
        The frame with `write` (the state to write to Caspio; null for none), `tell` (whether the destination is to be
        told Caspio's state once more), `differs`, `conflict`, and `next_state`, `next_at`, `next_news`: what is agreed
        then.
    """

    def rank(column: str) -> pl.Expr:
        return pl.col(column).replace_strict(dict(rules.rank), default=None, return_dtype=pl.Int64)

    stricter = rank("there") > rank("caspio")
    caspio, there = pl.col("caspio"), pl.col("there")
    first = pl.col("agreed").is_null() & caspio.is_not_null()
    changed = (caspio != pl.col("agreed")).fill_null(value=False)
    nobodys = pl.col("there_seen").fill_null(value=False) & caspio.is_null() & pl.col("agreed").is_null()
    news = (
        there.is_not_null()
        & (pl.col("there_at") > pl.col("agreed_news")).fill_null(value=True)
        & ~(nobodys & (rank("there") < rules.rank[rules.refused]))
    )
    differ = caspio.ne_missing(there)
    caspio_at = (
        pl.when(changed)
        .then(pl.coalesce("caspio_stamp", seen_at.cast(MOMENT)))
        .when(first)
        .then("caspio_stamp")
        .otherwise("agreed_at")
    )
    sides = sides.with_columns(
        _first=first, _changed=changed, _news=news, _differ=differ, _caspio_at=caspio_at, _stated=caspio.is_not_null()
    )
    overtaken = (pl.col("there_at") <= pl.col("_caspio_at")).fill_null(value=False)
    sides = sides.with_columns(
        conflict=pl.col("_news")
        & pl.col("_differ")
        & pl.col("_stated")
        & (pl.col("_first") | pl.col("_changed") | overtaken)
    )
    writes = pl.col("_news") & pl.col("_differ") & (~pl.col("conflict") | _destination_wins(policy, stricter))
    sides = sides.with_columns(
        write=pl.when(writes).then(there), tell=pl.col("_news") & (pl.col("_differ") | ~pl.col("_first"))
    )
    written = pl.col("write").is_not_null()
    return sides.with_columns(
        next_state=pl.coalesce("write", "caspio", "agreed"),
        next_at=pl.when(written).then("there_at").otherwise("_caspio_at"),
        differs="_differ",
        next_news=pl.when("_news").then("there_at").otherwise("agreed_news"),
    ).drop("_first", "_changed", "_news", "_differ", "_caspio_at", "_stated")


def _destination_wins(policy: Policy, stricter: pl.Expr) -> pl.Expr:
    match policy:
        case "caspio_wins":
            return pl.lit(value=False)
        case "destination_wins":
            return pl.lit(value=True)
        case "most_restrictive":
            return stricter
        case "newest":
            # A state from before anybody looked has no time, and is older than anything that has one.
            later = (pl.col("there_at") > pl.col("_caspio_at")).fill_null(value=True)
            return later | ((pl.col("there_at") == pl.col("_caspio_at")).fill_null(value=False) & stricter)

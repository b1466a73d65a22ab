"""Deals: rows as deals of people."""

from caspio_sync.engine.kind import Kind, Words
from caspio_sync.kinds.deals.definition import DealSync
from caspio_sync.kinds.deals.faults import deal_faults
from caspio_sync.kinds.deals.mapping import DealMapping
from caspio_sync.kinds.deals.proposal import propose_deals
from caspio_sync.observe.report import RunReport


def _unknown(report: RunReport) -> int:
    return report.verdicts.get("unknown", 0)


def _describe(sync: DealSync, whole: bool, title: str) -> str:
    reads = "Reads all rows and sends what differs" if whole else "Reads what changed since the last run"
    return (
        f"Caspio's {sync.source.name} to {title} deals. {reads}; each is made once, and of a row that is there the "
        "changed fields alone travel. Custom run: `full` reads all rows, `limit` the first ones, `keys` chosen ones."
    )


DEALS = Kind(
    name="deals",
    definition=DealSync,
    faults=deal_faults,
    mapping=DealMapping,
    words=Words(
        row="deal",
        who="deal",
        part_ways="each deal would be made twice; remove one of the files, or write {apart}",
        look_at="time zone, pipeline and stages, what {title} need not know",
        own=lambda report: ("unknown", _unknown(report), "looked for by the next run before anything is made"),
        headline=lambda report: f"{_unknown(report):,} unknown",
        free="none: deals are free",
        lost="the next run looks for the deal before it makes one",
    ),
    work="caspio_sync.kinds.deals.work:deal_work",
    line="caspio_sync.kinds.deals.line:DEALS",
    flow="flows.deal_sync.deal_sync",
    examine="caspio_sync.kinds.deals.examination:examine",
    propose=propose_deals,
    guess_back=lambda _: {},
    cron="*/5 * * * *",  # a salesperson looks at it within the hour; calls are few
    describe=_describe,
)

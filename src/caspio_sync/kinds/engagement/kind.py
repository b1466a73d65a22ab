"""Engagement returns: what a destination learned of people, back in their rows."""

from caspio_sync.engine.kind import Kind, Words
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.faults import engagement_faults
from caspio_sync.kinds.engagement.mapping import EngagementMapping
from caspio_sync.kinds.engagement.proposal import propose_engagement, returned_columns
from caspio_sync.observe.report import RunReport


def _describe(sync: EngagementSync, _whole: bool, title: str) -> str:
    return (
        f"What {title} learned of people, back into Caspio's {sync.source.name}: reads all rows and writes "
        "what differs. Custom run: `limit` reads the first rows, `keys` chosen ones."
    )


def _calls(report: RunReport) -> int:
    return report.writeback.calls if report.writeback else 0


ENGAGEMENT = Kind(
    name="engagement",
    definition=EngagementSync,
    faults=engagement_faults,
    mapping=EngagementMapping,
    words=Words(
        row="profile",
        who="person",
        taker="Caspio",
        part_ways="take them out of one, or write into {sync}: `owner: {other}` to leave them to it, or {apart}",
        look_at="a run writes over what these columns hold",
        own=lambda report: ("calls that wrote", _calls(report), "rows with equal values travel together"),
        headline=lambda report: f"{_calls(report):,} calls to Caspio that wrote",
        free="none",
    ),
    work="caspio_sync.kinds.engagement.gathering:engagement_work",
    line="caspio_sync.kinds.engagement.line:RETURN",
    flow="flows.engagement_return.engagement_return",
    examine="caspio_sync.kinds.engagement.examination:examine",
    propose=propose_engagement,
    guess_back=returned_columns,
    cron="0 * * * *",
    describe=_describe,
    returns=True,
)

"""Engagement returns: what a destination learned of people, back in their rows."""

from caspio_sync.mapping.engagement import EngagementMapping
from caspio_sync.mapping.engagement_proposal import propose_engagement, returned_columns
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.run.kind import Kind, Words
from caspio_sync.run.report import RunReport


def _describe(sync: EngagementSync, _whole: bool) -> str:
    return (
        f"What Braze learned of people, back into Caspio's {sync.source.name}: reads all rows and writes "
        "what differs. Custom run: `limit` reads the first rows, `keys` chosen ones."
    )


def _calls(report: RunReport) -> int:
    return report.writeback.calls if report.writeback else 0


ENGAGEMENT = Kind(
    name="engagement",
    definition=EngagementSync,
    faults=lambda _data, _values: (),
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
    work="caspio_sync.run.engagement.gathering:engagement_work",
    line="caspio_sync.run.engagement.return_line:RETURN",
    flow="flows.engagement_return.engagement_return",
    examine="caspio_sync.run.engagement.engagement_examination:examine",
    propose=propose_engagement,
    guess_back=returned_columns,
    cron="0 * * * *",
    describe=_describe,
    returns=True,
)

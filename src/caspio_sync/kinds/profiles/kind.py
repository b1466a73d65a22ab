"""Profiles: rows as people."""

from caspio_sync.engine.kind import Kind, Words
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.kinds.profiles.faults import profile_faults
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.kinds.profiles.proposal import propose_sync


def _describe(sync: ProfileSync, whole: bool, title: str) -> str:
    reads = "Reads all rows and sends what differs" if whole else "Reads what changed since the last run"
    return (
        f"Caspio's {sync.source.name} to {title} user profiles. {reads}; of a row the changed fields alone travel. "
        "Custom run: `full` reads all rows, `limit` the first ones, `keys` chosen ones."
    )


PROFILES = Kind(
    name="profiles",
    definition=ProfileSync,
    faults=profile_faults,
    mapping=ProfileMapping,
    words=Words(
        row="profile",
        who="person",
        part_ways="take them out of one, or write into {sync}: `owner: {other}` to leave them to it, or {apart}",
        look_at="time zone, consent, what {title} need not know",
        own=lambda report: ("opt-outs sent ahead", report.opt_outs, "before everything else of these people"),
        headline=lambda report: f"{report.data_points:,} data points billed, {report.data_points_saved:,} saved",
    ),
    work="caspio_sync.kinds.profiles.work:profile_work",
    line="caspio_sync.kinds.profiles.line:PROFILES",
    flow="flows.profile_sync.profile_sync",
    examine="caspio_sync.kinds.profiles.examination:examine",
    propose=propose_sync,
    guess_back=lambda _: {},
    cron="* * * * *",  # a profile is wanted within minutes
    describe=_describe,
)

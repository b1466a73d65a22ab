"""What `caspio-sync doctor` makes of what it saw: each thing that stands in the way, and its remedy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from sqlalchemy import make_url

from caspio_sync.caspio.window import OVERLAP
from caspio_sync.deployed.server_state import RunningFlow, ServerState
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.incidents import BLOCKED, LATE, SHARE
from caspio_sync.engine.situation import is_ahead
from caspio_sync.inbox import Waiting
from caspio_sync.ledger.leases import Lease
from caspio_sync.ledger.processes import has_died
from caspio_sync.ledger.run_record import FAILED, KILLED, Run
from caspio_sync.ledger.store import Ledger
from caspio_sync.posts import Waiting as Unread

# As much as cursors and ages can bear; leases lapse by the database's clock.
SKEW = timedelta(seconds=30)
_NEARLY_FULL = 0.8  # of what the inbox may hold
# A run that waits for another's lease has no record yet; one that reads back after its end has an ended one.
_UNSEEN, _ENDING = timedelta(minutes=10), timedelta(hours=1)
_UNFOLDED = timedelta(days=1)
_RUNS_LOOKED_AT = 100
NETWORK_DISKS = frozenset({"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Findings, and the orchestrator's ids of runs that are certainly dead while it takes them for running."""

    findings: list[Finding] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)


def ledger_findings(ledger: Ledger, syncs: Sequence[str], now: datetime) -> Iterator[Finding]:
    """Leases, runs and cursors."""
    leases = ledger.all_leases()
    running = ledger.running_runs()
    for lease in leases:
        yield _of_lease(lease, next((each for each in running if each.id in lease.holder), None), now)
    for run in running:
        if not any(run.id in lease.holder and is_alive(lease, now) for lease in leases):
            yield Finding(
                "error",
                f"{run.sync}: run {run.id} is written down as running since {moment(run.started_at)}, and no living "
                "process holds its lease: it was killed",
                f"run the sync: `caspio-sync run {run.sync}` takes over, says so, and puts Prefect's record right",
            )
    for sync in syncs:
        if (pause := ledger.paused(sync)) is not None:
            kept = "nothing is read or sent" if pause.everything else "opt-outs and erasures alone are sent"
            yield Finding(
                "warning",
                f"{sync}: paused since {moment(pause.at)}{f' ({pause.reason})' if pause.reason else ''}: {kept}",
                f"`caspio-sync resume {'--all' if pause.of_all else sync}`, when what it was paused for is over",
            )
        yield from _of_failures(sync, ledger)
        cursor = ledger.cursor(sync)
        if cursor is not None and cursor.watermark is not None and is_ahead(cursor.watermark, now):
            yield Finding(
                "error",
                f"{sync}: its cursor is in the future ({moment(cursor.watermark)}): the next run reads all rows, for "
                "nobody knows up to when they were read",
                f"set the clocks by NTP, then `caspio-sync run {sync}`, which sets the cursor",
            )


def _of_failures(sync: str, ledger: Ledger) -> Iterator[Finding]:
    """Runs that come when they should, and do not do their work."""
    ended = [each for each in ledger.runs(sync, limit=_RUNS_LOOKED_AT) if each.ended_at is not None]
    failed = list(takewhile(lambda each: each.state in {FAILED, BLOCKED}, ended))
    incidents = {each.kind: each.since for each in ledger.open_incidents(sync)}
    # A run that could not be opened (its table is gone) is no run of the ledger; an incident it is.
    since = min((incidents[kind] for kind in (FAILED, BLOCKED) if kind in incidents), default=None)
    since = failed[-1].started_at if since is None and failed else since
    if since is not None:
        told = next((str(each.report["error"]) for each in failed if each.report and each.report.get("error")), "")
        count = f", {len(failed)} in a row" if len(failed) > 1 else ""
        yield Finding(
            "error",
            f"{sync}: its runs fail since {moment(since)}{count}" + (f": {told}" if told else ""),
            f"`caspio-sync check {sync}` says what stands in the way; then `caspio-sync run {sync}`",
        )
    for kind, what in ((LATE, "its freshness target is missed"), (SHARE, "many of its rows are not taken")):
        if kind in incidents:
            yield Finding("warning", f"{sync}: {what} since {moment(incidents[kind])}", f"`caspio-sync status {sync}`")


def inbox_findings(sync: str, waiting: Waiting, now: datetime) -> Iterator[Finding]:
    """What waits in the inbox for an engagement return; `sync` is "" where there is none."""
    if waiting.since is None or now - waiting.since <= _UNFOLDED:
        return
    posts = f"{waiting.posts:,} posts with {waiting.events:,} events wait in the inbox since {moment(waiting.since)}"
    if sync:
        yield Finding(
            "warning",
            f"{sync}: {posts}, and no run has folded them",
            f"`caspio-sync run {sync}`; where it has a schedule, look why that starts no run",
        )
    else:
        yield Finding(
            "warning",
            f"{posts}, and there is no engagement return that would fold them",
            "write one (syncs/engagement.yaml shows how), or pause the Currents connector in Braze",
        )


def posts_findings(waiting: Mapping[str, Unread], readers: Mapping[str, str], now: datetime) -> Iterator[Finding]:
    """What any system posted and nobody has read.

    Args:
        waiting: by path.
        readers: the sync that has read least of a path, by path.
        now: the present instant.
    """
    for path, posts in waiting.items():
        if posts.since is None or now - posts.since <= _UNFOLDED:
            continue
        said = f"{posts.posts:,} posts to {path} wait since {moment(posts.since)}"
        if (sync := readers.get(path)) is not None:
            remedy = f"`caspio-sync run {sync}`; where it has a schedule, look why that starts no run"
            yield Finding("warning", f"{sync}: {said}, and no run has read them", remedy)
        else:
            remedy = f"write one (docs/posts.md), or take {path} out of CASPIO_SYNC_POSTS"
            yield Finding("warning", f"{said}, and there is no sync that would read them", remedy)


def full_inbox_findings(held_bytes: int, max_gb: float) -> Iterator[Finding]:
    """How near the inbox is to the size at which the receiver takes nothing more."""
    share = held_bytes / (max_gb * 1e9)
    if share < _NEARLY_FULL:
        return
    said = f"the inbox holds {held_bytes / 1e9:.2f} GB, {share:.0%} of CASPIO_SYNC_INBOX_MAX_GB ({max_gb:g})"
    remedy = (
        "let an engagement return fold it and syncs read posts, then `caspio-sync housekeeping`; or raise the limit"
    )
    if share < 1:
        yield Finding("warning", f"{said}; at 100% the receiver takes no post", remedy)
    else:
        yield Finding("error", f"{said}: posts are answered 503, and Braze drops them after 5 days", remedy)


def place_findings(ledger_url: str, mounts: str) -> Iterator[Finding]:
    """Where the ledger is.

    Args:
        ledger_url: SQLAlchemy URL.
        mounts: text of /proc/mounts; "" where there is none.
    """
    url = make_url(ledger_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    kind = _disk_of(Path(url.database).absolute(), mounts)
    if kind in NETWORK_DISKS or kind.startswith("fuse."):
        yield Finding(
            "error",
            f"the ledger {url.database} is an SQLite file on a network disk ({kind}): its locks do not hold there, and "
            "two runs may write at once",
            "move it to a local disk (CASPIO_SYNC_HOME), or use PostgreSQL: CASPIO_SYNC_LEDGER_URL=postgresql://…",
        )


def clock_finding(skew: timedelta | None) -> Finding:
    """This machine's clock against Caspio's.

    Args:
        skew: as `ReadClock.skew`: positive where Caspio's is ahead, None where it told no time.
    """
    if skew is None:
        return Finding(
            "warning",
            "Caspio's answers tell no time (no readable Date header): runs read on from this machine's clock alone",
            "keep this machine's clock set by NTP, and look for a proxy that takes the header away",
        )
    seconds = skew.total_seconds()
    if abs(skew) <= SKEW:
        return Finding("ok", f"clock: {abs(seconds):.0f} s from Caspio's")
    where = "behind" if seconds > 0 else "ahead of"
    more = ""
    if abs(skew) > OVERLAP:
        more = "; runs read on from the earlier of the two, so that no change is missed while one of them is right"
    return Finding(
        "error",
        f"this machine's clock is {abs(seconds):.0f} s {where} Caspio's (its Date header){more}",
        "set it by NTP (`timedatectl set-ntp true`): cursors and ages go by it; where it is right, a proxy or Caspio "
        "tells a wrong time",
    )


def server_findings(server: ServerState, ledger: Ledger, ledger_url: str, now: datetime) -> Diagnosis:
    """What the orchestrator's server says, held against the ledger."""
    found = Diagnosis([Finding("ok", f"Prefect's server at {server.url} answers")])
    found.findings.extend(_of_pool(server, ledger_url))
    for deployment in server.deployments:
        if deployment.paused:
            found.findings.append(
                Finding(
                    "warning",
                    f"{deployment.name}: its deployment is paused; no schedule starts a run",
                    "switch it on in Prefect's UI (Deployments), when what it was paused for is over",
                )
            )
        found.findings.extend(
            Finding(
                "warning",
                f"{deployment.name}: its schedule {slug} is paused",
                "switch it on in Prefect's UI (the deployment's page), when what it was paused for is over",
            )
            for slug in deployment.paused_schedules
        )
    made = {each.flow_run_id: each for each in ledger.runs_of([each.id for each in server.running])}
    for flow in server.running:
        finding, dead = _of_running(flow, made.get(flow.id), now)
        if finding is not None:
            found.findings.append(finding)
        if dead:
            found.dead.append(flow.id)
    return found


def is_alive(lease: Lease, now: datetime) -> bool:
    """Whether its holder may still be at work, as far as this machine can tell."""
    return lease.expires_at > now and not has_died(lease.process)


def moment(at: datetime) -> str:
    """A time as people read it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _of_lease(lease: Lease, run: Run | None, now: datetime) -> Finding:
    since = f" since {moment(run.started_at)}" if run is not None else ""
    if is_alive(lease, now):
        return Finding("ok", f"{lease.sync}: held by {lease.holder}{since}, alive")
    why = "its process is dead" if has_died(lease.process) else f"not renewed since {moment(lease.expires_at)}"
    return Finding(
        "warning",
        f"{lease.sync}: its lease is still that of {lease.holder}{since}, and {why}",
        f"nothing to wait for: the next `caspio-sync run {lease.sync}` takes it over",
    )


def _of_pool(server: ServerState, ledger_url: str) -> Iterator[Finding]:
    start = f"`caspio-sync worker --pool {server.pool}`"
    if not server.pool_exists:
        yield Finding("error", f"the server has no work pool {server.pool}", "`caspio-sync deploy` makes it")
        return
    if not server.deployments:
        yield Finding("warning", "no sync is deployed on this pool", "`caspio-sync deploy`")
    if server.pool_paused:
        yield Finding(
            "error",
            f"the work pool {server.pool} is paused: no worker gets a run",
            f"`prefect work-pool resume {server.pool}`",
        )
    late = f"; {server.late:,} runs are late" if server.late else ""
    if not server.workers:
        lost = f" (lost: {', '.join(server.lost_workers)})" if server.lost_workers else ""
        yield Finding("error", f"no worker is online on the pool {server.pool}{lost}{late}", f"start one: {start}")
    elif server.late:
        yield Finding(
            "warning",
            f"{server.late:,} runs are late: the workers ({', '.join(server.workers)}) do not keep up",
            f"start another one: {start}; or write a rarer `schedule:`",
        )
    else:
        yield Finding("ok", f"workers on the pool {server.pool}: {', '.join(server.workers)}")
    if len(server.workers) > 1 and make_url(ledger_url).get_backend_name() == "sqlite":
        yield Finding(
            "warning",
            f"{len(server.workers)} workers, and the ledger is an SQLite file: a worker on another machine has another "
            "ledger, and sends everything once more",
            "on several machines CASPIO_SYNC_LEDGER_URL must name one PostgreSQL database for all of them",
        )


def _of_running(flow: RunningFlow, run: Run | None, now: datetime) -> tuple[Finding | None, bool]:
    """What is wrong with a run that the server takes for running; and whether it is dead for certain."""
    if run is not None and run.ended_at is None:
        return None, False  # the ledger's own findings tell of it
    name = f"{flow.sync}: Prefect says Running of {flow.name}"
    if run is None:
        if flow.since is None or now - flow.since < _UNSEEN:
            return None, False
        return Finding(
            "warning",
            f"{name} since {moment(flow.since)}, and this ledger knows nothing of it: it waits for a lease, uses "
            "another ledger, or died before it began",
            f"look at it: `prefect flow-run inspect {flow.id}`; where it is dead, `prefect flow-run delete {flow.id}`",
        ), False
    assert run.ended_at is not None
    if run.state != KILLED and now - run.ended_at < _ENDING:
        return None, False
    return Finding(
        "error",
        f"{name}, and the ledger knows that run {run.id} ended ({run.state}) at {moment(run.ended_at)}",
        "`caspio-sync doctor --repair` sets it to Crashed",
    ), True


def _disk_of(path: Path, mounts: str) -> str:
    """The kind of file system a path is on; "" where that is not known."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, at, fs, *_ = [*line.split(" "), "", ""]
        at = at.replace("\\040", " ")
        if at and path.is_relative_to(at) and len(at) >= best:
            best, kind = len(at), fs
    return kind

"""What a run did, in numbers: kept in the ledger, shown by the CLI and in Prefect. No values of rows, only keys."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import Literal

import polars as pl
from pydantic import BaseModel, Field, SecretStr, computed_field

from caspio_sync.delivery.sender import Answer
from caspio_sync.moment import Moment
from caspio_sync.observe.freshness import Freshness
from caspio_sync.observe.verify_report import EXAMPLES, VerifyReport
from caspio_sync.observe.writeback_report import WritebackReport
from caspio_sync.registry import DEFAULT_TITLE
from caspio_sync.schemas import SOURCE_PK, CheckResult, Verdict


class ExitCode(IntEnum):
    """How `caspio-sync` ends; 1 is left to bugs."""

    DONE = 0
    CONFIGURATION = 2
    BLOCKED = 3
    FAILED = 4
    NOT_ALL_SENT = 5  # only with --strict


def end_name(code: int, not_sent: int) -> str:
    """How an end is called in Prefect: Completed, CompletedWithRejects, Blocked, Failed.

    Args:
        code: the exit code.
        not_sent: rows that were to be sent and were not.
    """
    if code in {ExitCode.DONE, ExitCode.NOT_ALL_SENT}:
        return "CompletedWithRejects" if not_sent else "Completed"
    return "Blocked" if code == ExitCode.BLOCKED else "Failed"


HeldVerdict = Literal["quarantined", "rejected", "blocked", "unknown"]


class RunOptions(
    BaseModel, frozen=True, defer_build=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
):
    """What to read, and what to send of it."""

    full: bool = Field(
        default=False, description="Read the whole source, ignoring the cursor; the ledger still decides what is sent."
    )
    resend: bool = Field(
        default=False,
        description="Send every field of every row read, ignoring what was sent before. All of it is billed.",
    )
    limit: int | None = Field(default=None, ge=1, description="Read this many rows at most. Never moves the cursor.")
    # Called `keys` outside; a model with an attribute of that name looks like a mapping to Prefect.
    # Hidden, for a key can be an address or a number, and Prefect keeps a run's parameters; what was typed into the
    # form of a custom run is masked there once the run has begun.
    row_keys: tuple[SecretStr, ...] = Field(
        default=(),
        alias="keys",
        description="Read only these rows, by their identity. Never moves the cursor. Masked in Prefect's record once "
        "the run has begun.",
    )
    since: Moment | None = Field(
        default=None,
        description="Read rows changed since this time (ISO 8601; without a zone it is UTC). Never moves the cursor.",
    )
    until: Moment | None = Field(
        default=None, description="With since: read rows changed up to this time, no later ones."
    )
    pk_range: tuple[int, int] | None = Field(
        default=None,
        title="PK_ID range",
        description="Read only rows whose PK_ID lies between these two, both included, and hold only them against "
        "other runs. Never moves the cursor.",
    )
    baseline: bool = Field(
        default=False,
        description="Read everything and record it as sent, without sending anything, opt-outs neither. For a "
        "workspace that holds these profiles already.",
    )
    verify_sample: int | None = Field(
        default=None, ge=1, description="With baseline: then read so many of these profiles back and compare them."
    )
    hints: bool = Field(
        default=False,
        description="Read only rows that Caspio's webhooks announced and no run read since. Never moves the cursor.",
    )
    listen_seconds: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="With hints: go on so long, taking what arrives meanwhile, until another run of the sync waits.",
    )
    wait: bool = Field(
        default=False, description="Where a run of this sync is under way, wait for its end instead of refusing."
    )
    release: tuple[HeldVerdict, ...] = Field(
        default=(),
        description="Read only rows that are held under these verdicts, and judge them again. Never moves the cursor.",
    )
    release_reason: str | None = Field(
        default=None, description="With release: only rows whose reason contains this text."
    )
    accept_schema: bool = Field(
        default=False, description="Take the source's fields as they are now, though they changed since the last run."
    )
    same_workspace: bool = Field(
        default=False,
        description="The settings name the accounts under another host or key than the ledger knows, and they are the "
        "same: what was sent before counts as sent.",
    )
    not_ours: bool = Field(
        default=False,
        description="Of events and purchases, in a ledger that has sent none of the sync: those that the destination "
        "has of these names already came from somewhere else, and are not sent twice by this.",
    )
    allow_deletes: bool = Field(
        default=False,
        description="Of a catalog: read the whole source, and delete items whose row is gone, though more than "
        "gate.max_deleted_share.",
    )
    allow_erasures: bool = Field(
        default=False,
        description="Erase whom the sync file names, though they are over 20 people and over 5 % of the rows.",
    )
    strict: bool = Field(
        default=False, description="End with exit code 5 when a row was quarantined, rejected or blocked."
    )

    @property
    def whole(self) -> bool:
        """Whether the run reads everything, whatever the cursor says; only so it finds what vanished."""
        return self.full or self.resend or self.baseline or self.allow_deletes

    @property
    def partial(self) -> bool:
        """Whether the run reads a chosen part, and so must leave the cursor alone."""
        chosen = (self.limit, self.since, self.until, self.pk_range)
        return any(each is not None for each in chosen) or bool(self.row_keys) or bool(self.release) or self.hints

    @property
    def identities(self) -> tuple[str, ...]:
        """`row_keys`, to be asked for."""
        return tuple(each.get_secret_value() for each in self.row_keys)


class Reason(BaseModel, defer_build=True):
    """Why rows were not sent."""

    verdict: str
    reason: str
    rows: int = 0
    examples: list[str] = Field(default_factory=list)


class CheckTotals(BaseModel, defer_build=True):
    """One expectation over all batches of a run."""

    name: str
    why: str
    severity: str
    rows: int = 0
    failed: int = 0


class RunReport(BaseModel):
    """The counts of one run.

    Every row read is in exactly one of `unchanged`, `held`, the verdicts and, in a baseline, `baseline` and
    `left_to_send`.
    """

    run: str
    sync: str
    kind: str = "profiles"
    mode: Literal["incremental", "sweep", "partial"]
    started_at: datetime
    ended_at: datetime | None = None
    destination: str = DEFAULT_TITLE  # as people say it
    state: Literal["running", "done", "blocked", "failed", "interrupted"] = "running"
    error: str | None = None

    mapping_version: int | None = None  # the number of its mapping; the ledger knows what it maps
    whole: bool = False  # whether it reads the source from its first row to its last
    hints: int = 0  # rows that webhooks' messages announced
    told: int = 0  # of these, rows that were taken from their messages instead of being read
    expected: int = 0  # rows that Caspio counted when the read was opened
    counted: int = (
        0  # rows that Caspio counted in what was read, stretch by stretch: without a limit never more than `read`
    )
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    held: dict[str, int] = Field(default_factory=dict)
    verdicts: dict[str, int] = Field(default_factory=dict)
    opt_outs: int = 0
    identified: int = 0  # new rows whose id was not known there, offered to the profile with their address
    baseline: int = 0  # recorded as sent without being sent
    left_to_send: int = 0  # changed rows that a baseline left to the next run
    schema_changes: list[str] = Field(default_factory=list)  # of a catalog
    deleted: int = 0  # items of a catalog whose row is gone
    erased: int = 0  # people whose deletion was proven in this run
    reasons: list[Reason] = Field(default_factory=list)
    checks: list[CheckTotals] = Field(default_factory=list)
    changed_fields: dict[str, int] = Field(default_factory=dict)

    requests: int = 0
    objects: int = 0  # of the requests that were answered; each is in exactly one of the next three
    objects_taken: int = 0  # as the destination counts them
    objects_refused: int = 0  # as the destination names them
    objects_unknown: int = 0  # nobody knows
    unacknowledged: int = 0  # requests whose answer is not known to be the destination's own
    doubt: str = ""  # what such an answer was
    in_doubt: bool = False  # whether the last answer, of this run or of one before, was of that kind
    caspio_calls: int = 0
    data_points: int = 0
    data_points_full: int = 0
    batches: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    drift: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    verification: VerifyReport | None = None
    freshness: Freshness | None = None
    writeback: WritebackReport | None = None  # of an engagement return
    stretched: str | None = None  # why and how far calls to Caspio are spread over the day

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sent(self) -> int:
        """Rows that were accepted."""
        return self.verdicts.get(Verdict.SENT, 0)

    @property
    def accounted(self) -> int:
        """Rows of which the report says what became of them."""
        told = self.unchanged + sum(self.held.values()) + sum(self.verdicts.values())
        return told + self.baseline + self.left_to_send

    @computed_field  # type: ignore[prop-decorator]
    @property
    def data_points_saved(self) -> int:
        """Data points a sync without a field diff would have been billed on top."""
        return max(0, self.data_points_full - self.data_points)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rows_per_second(self) -> int:
        """Rows read a second, from the first page to the last record."""
        return round(self.read / self.seconds["moving"]) if self.seconds.get("moving") else 0

    @property
    def not_sent(self) -> int:
        """Rows that were to be sent and were not: set aside, refused, or without an answer."""
        return sum(rows for verdict, rows in self.verdicts.items() if verdict != Verdict.SENT) + sum(self.held.values())

    def exit_code(self, *, strict: bool) -> ExitCode:
        """How the command that made this run ends."""
        if self.state == "blocked":
            return ExitCode.BLOCKED
        if self.state != "done":
            return ExitCode.FAILED
        return ExitCode.NOT_ALL_SENT if strict and self.not_sent else ExitCode.DONE

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Count time spent in a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def count_checks(self, checks: Iterable[CheckResult]) -> None:
        """Add a batch's gate results to the totals."""
        totals = {each.name: each for each in self.checks}
        for check in checks:
            total = totals.setdefault(check.name, CheckTotals(name=check.name, why=check.why, severity=check.severity))
            total.rows += check.rows
            total.failed += check.failed
        self.checks = list(totals.values())

    def count_sent(self, rows: int) -> None:
        """Count rows that were accepted."""
        self.verdicts[Verdict.SENT] = self.verdicts.get(Verdict.SENT, 0) + rows

    def count_answers(self, answers: Iterable[Answer]) -> None:
        """Count the objects of answered requests by what is said of them."""
        for answer in answers:
            refused = len(answer.rejected)
            self.objects += answer.count
            self.objects_refused += refused
            if answer.unknown:
                self.objects_unknown += answer.count - refused
            else:
                self.objects_taken += answer.count - refused
            self.notes += [each for each in answer.notes if each not in self.notes]
            self.in_doubt = answer.foreign
            if answer.foreign:
                self.unacknowledged += 1
                self.doubt = answer.unknown

    def count_outcomes(self, outcomes: pl.DataFrame, *, name: str) -> None:
        """Count rows by verdict and reason.

        Args:
            outcomes: columns `verdict`, `reason`, `source_pk` and `name`.
            name: column whose values may stand in a report as examples; the PK_ID stands for a null.
        """
        verdicts = Counter(self.verdicts)
        groups = outcomes.with_columns(reason=pl.col("reason").str.split(" | ").list.first()).group_by(
            "verdict", "reason", maintain_order=True
        )
        shown = pl.coalesce(pl.col(name).cast(pl.String), pl.format("PK_ID {}", SOURCE_PK))
        for verdict, reason, rows, examples in groups.agg(pl.len(), shown.head(EXAMPLES)).iter_rows():
            verdicts[verdict] += rows
            if verdict != Verdict.SENT:
                self._count_reason(verdict, reason or "", rows, examples)
        self.verdicts = dict(verdicts)

    def _count_reason(self, verdict: str, reason: str, rows: int, examples: list[str]) -> None:
        known = next((each for each in self.reasons if (each.verdict, each.reason) == (verdict, reason)), None)
        if known is None:
            known = Reason(verdict=verdict, reason=reason)
            self.reasons.append(known)
        known.rows += rows
        known.examples = (known.examples + examples)[:EXAMPLES]
        self.reasons.sort(key=lambda each: -each.rows)

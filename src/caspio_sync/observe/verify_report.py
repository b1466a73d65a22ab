"""What a verification found, in numbers, field names and keys; no values."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, computed_field

from caspio_sync.registry import DEFAULT_TITLE

EXAMPLES = 3


class Estimate(BaseModel, frozen=True, defer_build=True):
    """What a verification will take, told before it begins.

    Args:
        thing: what a row becomes there: "profile", "item" or "deal".
        destination: as people say it.
        rows: rows still to look at.
        pages: of the catalog, where it is read page by page; 0 where items are read one by one.
        requests: to the destination.
        seconds: at its usual limit.
        slowest_seconds: at the slowest it gives.
        caspio_calls: about so many.
        resumed: rows that were looked at before it was interrupted.
    """

    thing: Literal["profile", "item", "deal"] = "profile"
    destination: str = DEFAULT_TITLE
    rows: int
    pages: int = 0
    requests: int
    seconds: float
    slowest_seconds: float
    caspio_calls: int
    resumed: int = 0


class Difference(BaseModel, defer_build=True):
    """Rows in which something else is held than what was sent.

    Args:
        field: its name there; "(profile)" or "(item)" where there is none at all.
        rows: how many.
        kept: rows among them in which the consent there is the stricter one; these are not sent again.
        examples: keys, or PK_IDs where keys are personal.
    """

    field: str
    rows: int = 0
    kept: int = 0
    examples: list[str] = Field(default_factory=list)


class VerifyReport(BaseModel, defer_build=True):
    """The counts of one verification; every row looked at is in exactly one of the groups.

    Args:
        sync: name of the sync.
        thing: what a row becomes there: "profile", "item" or "deal".
        destination: as people say it.
        started_at: when it began.
        ended_at: None where it was interrupted.
        sample: rows asked for; None for all.
        rows: rows it is about.
        equal: rows that are held as they were sent.
        differing: rows that differ in a field.
        missing: rows without a profile or item.
        pending: rows that changed in Caspio since they were sent: the next run sends them.
        recent: rows that differ, and were sent so lately that they may still be on their way.
        gone: rows that are no longer in the source.
        ambiguous: rows whose identifier leads to several profiles, or to one that was renamed.
        left_out: rows without a profile, in a sync that makes none (`on_new: update_only`).
        fields: values compared.
        fields_equal: of these, as they were sent.
        differences: by field.
        extra: items of the catalog that the ledger knows nothing of; they are left alone. Counted where the catalog is
            read page by page.
        undeleted: items that were deleted and are there all the same; the next whole read deletes them. Counted as
            `extra` is.
        pages: pages of the catalog that were read.
        retyped: by field, values that are held in another type than they were sent in.
        unreadable: fields that can be written and not read.
        cleared: rows whose differing fields the next run sends again.
        requests: made to it.
        caspio_calls: made to Caspio.
    """

    sync: str
    thing: Literal["profile", "item", "deal"] = "profile"
    destination: str = DEFAULT_TITLE
    started_at: datetime
    ended_at: datetime | None = None
    sample: int | None = None
    rows: int = 0
    equal: int = 0
    differing: int = 0
    missing: int = 0
    pending: int = 0
    recent: int = 0
    gone: int = 0
    ambiguous: int = 0
    left_out: int = 0
    extra: int = 0
    undeleted: int = 0
    pages: int = 0
    fields: int = 0
    fields_equal: int = 0
    differences: list[Difference] = Field(default_factory=list)
    retyped: dict[str, int] = Field(default_factory=dict)
    unreadable: list[str] = Field(default_factory=list)
    cleared: int = 0
    requests: int = 0
    caspio_calls: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def compared(self) -> int:
        """Rows that were held against what is there."""
        return self.equal + self.differing + self.missing

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accuracy(self) -> float | None:
        """Share of the compared rows that are held as they were sent; None where none was compared."""
        return self.equal / self.compared if self.compared else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def field_accuracy(self) -> float | None:
        """The same of values."""
        return self.fields_equal / self.fields if self.fields else None

    @property
    def looked_at(self) -> int:
        """Rows in any of the groups."""
        return self.compared + self.pending + self.recent + self.gone + self.ambiguous + self.left_out

    def count_difference(self, field: str, rows: int, examples: Sequence[str], *, kept: int = 0) -> None:
        """Count rows that differ in a field."""
        if not rows:
            return
        known = next((each for each in self.differences if each.field == field), None)
        if known is None:
            known = Difference(field=field)
            self.differences.append(known)
        known.rows += rows
        known.kept += kept
        known.examples = [*known.examples, *examples][:EXAMPLES]
        self.differences.sort(key=lambda each: -each.rows)

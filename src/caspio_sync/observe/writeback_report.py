"""What an engagement return did, in numbers: part of the run's report. No values of rows, only keys and states."""

from pydantic import BaseModel, Field


class Conflict(BaseModel, defer_build=True):
    """Rows whose consent Caspio and the destination changed both, to different states.

    Args:
        column: the Caspio field.
        caspio: the state that Caspio held.
        braze: the state that the destination told.
        policy: by which it was decided.
        winner: caspio, or the destination's name.
        destination: where `braze`, which there was alone when this was named, is told: its title.
        rows: how many.
        examples: keys of some of them.
    """

    column: str
    caspio: str | None
    braze: str
    policy: str
    winner: str
    rows: int
    examples: list[str] = Field(default_factory=list)
    destination: str = "Braze"


class WritebackReport(BaseModel, defer_build=True):
    """The counts of what is written back.

    Args:
        gathered: what was polled, received and folded, by name.
        rows: rows of which something was to be written.
        cells: their cells.
        calls: PUT calls that were made, or would be.
        exact_calls: how many of these there are only for columns written `as: exact`; of a plan.
        left_calls: calls left to the next run (`calls_per_run`).
        refused: columns that Caspio refuses, and what it says.
        conflicts: of consent.
        unknown_people: people of whom the destination told, and whom the table does not have (yet).
        campaign_days: rows of the campaign table that were made or changed.
        campaign_calls: writes that took, or would take at most.
    """

    gathered: dict[str, int] = Field(default_factory=dict)
    rows: int = 0
    cells: int = 0
    calls: int = 0
    exact_calls: int = 0
    left_calls: int = 0
    refused: dict[str, str] = Field(default_factory=dict)
    conflicts: list[Conflict] = Field(default_factory=list)
    unknown_people: int = 0
    campaign_days: int = 0
    campaign_calls: int = 0

    @property
    def calls_per_1000_rows(self) -> float:
        """Calls for a thousand written rows; one call a row would be 1,000."""
        return 1_000 * (self.calls + self.left_calls) / self.rows if self.rows else 0.0

    def add_conflict(self, found: Conflict) -> None:
        """Count conflicts; those of one kind together."""
        alike = ("column", "caspio", "braze", "winner")
        for each in self.conflicts:
            if all(getattr(each, name) == getattr(found, name) for name in alike):
                each.rows += found.rows
                return
        self.conflicts.append(found)

    def lines(self) -> list[str]:
        """For people."""
        price = f"{self.calls_per_1000_rows:,.0f} for 1,000 rows; one call a row would be {self.rows:,}"
        lines = [f"written back: {self.rows:,} rows by {self.calls:,} calls to Caspio ({price})"]
        if self.left_calls:
            lines.append(f"left to the next run (calls_per_run): {self.left_calls:,} calls")
        lines += [f"column {name} is left out: {said}" for name, said in self.refused.items()]
        lines += [
            f"consent conflict in {each.column}: Caspio {each.caspio}, {each.destination} {each.braze}; {each.winner} "
            f"wins ({each.policy}), {each.rows:,} rows{_examples(each)}"
            for each in self.conflicts
        ]
        if self.unknown_people:
            lines.append(f"people whom the table does not have (yet): {self.unknown_people:,}")
        if self.campaign_days:
            lines.append(f"campaign days written: {self.campaign_days:,} by {self.campaign_calls:,} calls")
        lines += [f"{name}: {count:,}" for name, count in self.gathered.items()]
        return lines


def _examples(conflict: Conflict) -> str:
    return f", for example {', '.join(conflict.examples)}" if conflict.examples else ""

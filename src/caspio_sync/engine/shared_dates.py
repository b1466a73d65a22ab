"""Dates that many rows share: a database's "none", such as 1900-01-01, which would leave as everybody's birthday."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from caspio_sync.mapping.row_mapping import Check

MANY_ROWS = 20
MANY_SHARE = 0.01
# What databases, spreadsheets and computers count from. Of birthdays any date is suspicious that so many share.
_NOTHING = ("0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01")


class SharedDates:
    """Counts the dates of some rows, batch by batch.

    Args:
        checks: of the mapping.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._of_birth = [check.column for check in checks if check.code == "birth_date"]
        self._other = [check.column for check in checks if check.code in {"date_value", "datetime_value", "time_value"}]
        self._rows: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in (*self._of_birth, *self._other)}

    def add(self, mapped: pl.DataFrame) -> None:
        """Count a batch's."""
        for name, counts in self._counts.items():
            if name not in mapped.columns or mapped.schema[name] != pl.String:
                continue
            days = mapped[name].drop_nulls().str.head(len("1900-01-01"))
            self._rows[name] += len(days)
            if name not in self._of_birth:
                days = days.filter(days.is_in(_NOTHING))
            counts.update(dict(days.value_counts().iter_rows()))

    def warnings(self, where: Callable[[str], str]) -> Iterator[str]:
        """What to say of dates that 1 % of the rows with a date share, and at least 20.

        Args:
            where: gives the place of a field in the sync file.
        """
        for name, counts in self._counts.items():
            for day, rows in counts.most_common(1):
                share = rows / self._rows[name]
                if rows >= MANY_ROWS and share >= MANY_SHARE:
                    yield (
                        f"{where(name)}: {name}: {rows:,} rows ({share:.0%} of those with a date) share {day}, as a "
                        f'database writes where it knows none; if it means nothing, add `empty: ["{day}"]` to the field'
                    )

"""Calls made to an account, by UTC day and by second: leased in blocks, shared by every process on the ledger."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.runs import insert


class Budgets(LedgerConnection):
    """Counting what an API bills."""

    def take_calls(self, account: str, day: datetime, calls: int, *, limit: int | None = None) -> int:
        """Count calls before they are made: a kill counts a block too many, never one too few.

        Args:
            account: whose calls.
            day: midnight UTC, when the day began.
            calls: how many are wanted.
            limit: calls a day; None for no limit.

        Returns:
            How many may be made; fewer than asked for, or none, where the day has no more left.
        """
        table = schema.budget
        own = (table.c.account == account, table.c.window_start == day)
        with self.writing("count calls", fold=False) as connection:
            first = insert(connection, table).values(account=account, window_start=day, used=0)
            connection.execute(first.on_conflict_do_nothing())
            used = connection.execute(sa.select(table.c.used).where(*own).with_for_update()).scalar_one()
            granted = calls if limit is None else max(0, min(calls, limit - used))
            connection.execute(sa.update(table).where(*own).values(used=table.c.used + granted))
        return granted

    def take_window_calls(
        self, account: str, calls: int, *, seconds: float, limit: int | None = None
    ) -> tuple[int, datetime, float]:
        """Count calls of the second that begins now, before they are made, within a rolling window.

        Args:
            account: whose calls, under a name of the window's own.
            calls: how many are wanted.
            seconds: length of the window.
            limit: calls within it; None for no limit.

        Returns:
            How many may be made, perhaps none; what they are counted under; seconds until there are more where there
            are none.
        """
        table = schema.budget
        own = table.c.account == account
        with self.writing("count calls", fold=False) as connection:
            if connection.dialect.name == "postgresql":
                # Rows that are not there yet cannot be locked; the second of two processes waits for the table.
                connection.exec_driver_sql("LOCK TABLE budget IN SHARE ROW EXCLUSIVE MODE")
            now = self._now(connection)
            stamp, begins = now.replace(microsecond=0), now - timedelta(seconds=seconds)
            connection.execute(sa.delete(table).where(own, table.c.window_start <= begins))
            used, oldest = connection.execute(
                sa.select(sa.func.coalesce(sa.func.sum(table.c.used), 0), sa.func.min(table.c.window_start)).where(
                    own, table.c.used > 0
                )
            ).one()
            granted = calls if limit is None else max(0, min(calls, limit - int(used)))
            if granted:
                first = insert(connection, table).values(account=account, window_start=stamp, used=0)
                connection.execute(first.on_conflict_do_nothing())
                this = (own, table.c.window_start == stamp)
                connection.execute(sa.update(table).where(*this).values(used=table.c.used + granted))
        wait = 0.0 if granted or oldest is None else (oldest - begins).total_seconds()
        return granted, stamp, max(0.0, wait)

    def give_calls_back(self, account: str, day: datetime, calls: int) -> None:
        """Take back the count of calls that were not made."""
        table = schema.budget
        with self.writing("count calls", fold=False) as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.account == account, table.c.window_start == day)
                .values(used=table.c.used - calls)
            )

    def calls_used(self, account: str, since: datetime) -> int:
        """Calls counted in the days that began at `since` or later."""
        table = schema.budget.c
        chosen = sa.select(sa.func.coalesce(sa.func.sum(table.used), 0)).where(
            table.account == account, table.window_start >= since
        )
        with self.reading("read the calls made", fold=False) as connection:
            return int(connection.execute(chosen).scalar_one())

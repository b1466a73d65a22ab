"""The shop's real orders once more, as live traffic: each is placed now, through Caspio's REST API, line by line."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.clock import Clock
from caspio_sync.concurrency import all_of
from caspio_sync.sandbox.orders import ORDER_LINES, ORDERS, orders_of, read_order_lines

_LONDON = ZoneInfo("Europe/London")  # where the shop's clock hangs
_AT_ONCE = 8  # lines that are written at the same time


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was placed.

    Args:
        number: its own, which no order before has.
        customer: whose it is.
        lines: how many it has.
    """

    number: str
    customer: str
    lines: int


async def play(caspio: CaspioClient, clock: Clock, *, speed: float, most: int | None = None) -> AsyncIterator[Placed]:
    """Place the orders of the shop's week, those of nobody apart, in their order.

    Args:
        caspio: the sandbox's.
        clock: tells when they are placed, and waits between them.
        speed: how many times as fast as then; 1 is the shop's own pace.
        most: orders; None for all of the week's.

    Raises:
        As `CaspioClient.insert`.
    """
    mark, before = secrets.token_hex(3), None
    for order, lines in _orders(most):
        moment = datetime.fromisoformat(str(order["InvoiceDate"]))
        if before is not None:
            await clock.sleep((moment - before).total_seconds() / speed)
        before = moment
        number = f"{order['InvoiceNo']}-{mark}"
        now = f"{clock.now().astimezone(_LONDON):%Y-%m-%dT%H:%M:%S}"
        own = {"InvoiceNo": number, "InvoiceDate": now}
        for start in range(0, len(lines), _AT_ONCE):
            some = lines[start : start + _AT_ONCE]
            await all_of(caspio.insert(Source(ORDER_LINES), {**each, **own}) for each in some)
        await caspio.insert(Source(ORDERS), {**order, **own})
        yield Placed(number, str(order["CustomerNo"]), len(lines))


def _orders(most: int | None) -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
    """Each order with its lines."""
    lines = read_order_lines().filter(pl.col("CustomerNo") != "")
    of = {str(key): group.to_dicts() for (key,), group in lines.group_by("InvoiceNo")}
    for order in orders_of(lines).sort("InvoiceDate", maintain_order=True).head(most or lines.height).to_dicts():
        yield order, of[str(order["InvoiceNo"])]

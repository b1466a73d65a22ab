"""The sandbox's activity tables: the shop's order lines of one real week, their orders, and a help desk's tickets.

The lines are the published set's own, dirt included: returns, lines without a customer, a clerk's bookings
(`data/NOTICE.md`). An order is what the lines of one invoice have in common. The tickets are invented: a seeded
generator draws them of the shop's customers.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.data import DATA, LONDON, fields

ORDERS, ORDER_LINES = "Orders", "OrderLines"
TICKETS = "SupportTickets"
SOME_TICKETS = 400

# Lines are only added: nothing is stamped on update.
ORDER_LINE_FIELDS: tuple[Mapping[str, Any], ...] = (
    *fields("STRING", "InvoiceNo StockCode Description"),
    *fields("INTEGER", "Quantity"),
    *fields("DATE/TIME", "InvoiceDate"),
    *fields("CURRENCY", "UnitPrice"),
    *fields("STRING", "CustomerNo Country"),
)
ORDER_FIELDS: tuple[Mapping[str, Any], ...] = (
    {"Name": "InvoiceNo", "Type": "STRING", "Unique": True},
    *fields("STRING", "CustomerNo"),
    *fields("DATE/TIME", "InvoiceDate"),
    *fields("INTEGER", "LineCount"),
    *fields("STRING", "Country"),
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": LONDON},
)
TICKET_FIELDS: tuple[Mapping[str, Any], ...] = (
    {"Name": "TicketNo", "Type": "STRING", "Unique": True},
    *fields("STRING", "CustomerNo Subject Status Priority"),
    *fields("DATE/TIME", "OpenedAt"),
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": LONDON},
)
_SUBJECTS = (
    "Where is my order?",
    "A cup arrived broken",
    "Wrong colour",
    "An invoice, please",
    "Can I order by phone?",
)
_MINUTES = (120, 20 * 24 * 60)  # how long ago tickets were opened: hours at the least, whatever the zone of the clock


def load_order_lines(sandbox: CaspioSandbox) -> int:
    """Create the OrderLines table and fill it; rows loaded."""
    sandbox.create_table(ORDER_LINES, ORDER_LINE_FIELDS)
    return sandbox.insert_frames(ORDER_LINES, [read_order_lines()])


def load_orders(sandbox: CaspioSandbox) -> int:
    """Create the Orders table and fill it; rows loaded."""
    sandbox.create_table(ORDERS, ORDER_FIELDS)
    return sandbox.insert_frames(ORDERS, [orders_of(read_order_lines())])


def orders_of(lines: pl.DataFrame) -> pl.DataFrame:
    """The fields of ORDER_FIELDS that can be written, a row an invoice, in the order of their first lines."""
    return lines.group_by("InvoiceNo", maintain_order=True).agg(
        pl.col("CustomerNo", "InvoiceDate").first(),
        pl.len().cast(pl.Int64).alias("LineCount"),
        pl.col("Country").first(),
    )


def load_tickets(sandbox: CaspioSandbox, seed: int = 1) -> int:
    """Create the SupportTickets table and fill it; rows loaded."""
    sandbox.create_table(TICKETS, TICKET_FIELDS)
    return sandbox.insert_frames(TICKETS, [draw_tickets(seed, datetime.now(UTC))])


def read_order_lines() -> pl.DataFrame:
    """The fields of ORDER_LINE_FIELDS, a row a line, in the order of the set."""
    return pl.read_parquet(DATA / "online-retail" / "order_lines.parquet")


def draw_tickets(seed: int, now: datetime) -> pl.DataFrame:
    """The fields of TICKET_FIELDS that can be written: the same seed draws the same tickets, their times apart."""
    rng = np.random.default_rng(seed)
    customers = pl.read_parquet(DATA / "online-retail" / "customers.parquet")["CustomerNo"]
    opened = [now - timedelta(minutes=int(each)) for each in np.sort(rng.integers(*_MINUTES, SOME_TICKETS))[::-1]]
    return pl.DataFrame(
        {
            "TicketNo": [f"T-{number}" for number in range(1, SOME_TICKETS + 1)],
            "CustomerNo": customers.gather(rng.integers(0, len(customers), SOME_TICKETS)),
            "Subject": rng.choice(_SUBJECTS, SOME_TICKETS).tolist(),
            "Status": rng.choice(["open", "answered", "closed"], SOME_TICKETS, p=[0.5, 0.3, 0.2]).tolist(),
            "Priority": rng.choice(["low", "normal", "high"], SOME_TICKETS, p=[0.3, 0.6, 0.1]).tolist(),
            "OpenedAt": [each.strftime("%Y-%m-%dT%H:%M:%S") for each in opened],
        }
    )

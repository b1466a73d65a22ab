"""What the sandbox's Caspio account holds when it starts."""

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.data import load_customers
from caspio_sync.sandbox.orders import load_order_lines, load_orders, load_tickets
from caspio_sync.sandbox.products import load_books, load_groceries, load_products


def load_shop(sandbox: CaspioSandbox, *, customers: int | None = None, seed: int = 1, grocery: bool = False) -> None:
    """Create and fill the tables Customers, Products, Books, Orders, OrderLines and SupportTickets.

    Args:
        sandbox: the account to load, without these tables.
        customers: how many to draw, None for the shop's own (see `load_customers`).
        seed: what they are drawn with.
        grocery: the 92,331 rows of Groceries besides.
    """
    load_customers(sandbox, customers, seed)
    load_products(sandbox)
    load_books(sandbox)
    load_orders(sandbox)
    load_order_lines(sandbox)
    load_tickets(sandbox, seed)
    if grocery:
        load_groceries(sandbox)

"""`caspio-sync demo`: the shipped syncs on the sandbox: first load, nothing to do, edited rows; and the way back."""

import asyncio
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import orjson
import typer

from caspio_sync.caspio.client import Source
from caspio_sync.cli.demo_mail import mail, post, receiver
from caspio_sync.cli.demo_shop import place_orders
from caspio_sync.cli.run import run_shown, show_report
from caspio_sync.cli.sandbox import environment, use_settings
from caspio_sync.cli.show import OUT, number, show_table
from caspio_sync.clock import SystemClock
from caspio_sync.engine.connect import caspio_client
from caspio_sync.ledger.store import Ledger
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict
from caspio_sync.settings import load_settings
from caspio_sync.sync_files import shipped_examples

DEMO_HOME = Path(".caspio-sync/demo")
SYNC, CATALOG, ENGAGEMENT, ORDERS = "customers", "products", "engagement", "placed_orders"
CONTACTS, DEALS = "contacts", "deals"
MET, DEALT = 1_000, 8  # people and orders for ActiveCampaign, whose accounts take few calls a second
LIVE = 6  # orders that are placed while somebody listens
CUSTOMERS, PRODUCTS = Source("Customers"), Source("Products")
# Braze blocks these ids in the demo's workspace, so that its own word on a row is seen as well.
BLOCKED = ["12352", "12395", "12427"]
# What the demo edits: rows, a condition on the rows it may choose, and the new values.
EDITS = (
    (15, "EmailConsent='yes'", {"City": "Bath"}),
    (5, "EmailConsent='yes'", {"EmailConsent": "no"}),
    (5, "Wholesale=0", {"Wholesale": True, "Orders": 1000}),
)
# Whom the demo mails, and what of six of them it shows before and after.
MAILED, SHOWN = 60, 6
COLUMNS = ("CustomerNo", "EmailConsent", "HardBounced", "LastOpened", "EmailOpens", "LastCampaign")


def demo(
    rows: Annotated[int | None, typer.Option(min=100, help="Customers; default the 4,372 of the data set.")] = None,
) -> None:
    """Show everything on this machine: no account, no key, no server to install.

    Starts the sandbox, runs the shipped profile sync three times (first load; nothing changed; 25 rows edited), then
    the shipped catalog sync twice (first load; prices changed and products gone), lets the emulated Braze mail people
    and returns what they did to their Caspio rows, then places orders that a webhook announces, sends the same
    people and some orders to the emulated ActiveCampaign, and prints what happened. Everything it makes is below
    .caspio-sync/demo; your own Prefect profile and accounts are not touched.
    """
    from caspio_sync.sandbox.server import SandboxProcesses

    for left in (*DEMO_HOME.glob("ledger.db*"), *DEMO_HOME.glob("inbox.db*")):
        left.unlink()
    DEMO_HOME.mkdir(parents=True, exist_ok=True)
    OUT.print(
        "[bold]1. The sandbox starts[/]: Caspio, Braze and ActiveCampaign as local processes, loaded with real retail "
        "customers."
    )
    with SandboxProcesses(rows=rows, braze={"blocked_external_ids": BLOCKED, "currents": True}) as processes:
        use_settings({**environment(processes, DEMO_HOME), "CASPIO_SYNC_SYNCS": str(shipped_examples())})
        _run("2. First run", "every customer is new to Braze; the gate sets bad rows aside, Braze may refuse some")
        _run("3. Second run", "nothing changed in Caspio, so nothing is sent")
        edited = asyncio.run(_edit())
        _run(
            "4. Third run",
            f"{number(edited)} rows were edited in Caspio: those rows go, and of them the changed fields",
        )
        _run(
            "5. A catalog",
            "the shop's real products, with codes in two spellings and prices of zero",
            CATALOG,
        )
        changed, gone = asyncio.run(_restock())
        _run(
            "6. The catalog again",
            f"{number(changed)} prices changed, {number(gone)} products are gone from Caspio; a whole read finds both",
            CATALOG,
            RunOptions(full=True),
        )
        _engagement(processes.braze_url)
        _live_orders()
        _contacts()
    OUT.print(
        f"\nAll state is in {DEMO_HOME}; `make demo-reset` removes it. Next: README.md, 'With your own accounts'."
    )


def _run(title: str, explained: str, sync: str = SYNC, options: RunOptions = RunOptions()) -> RunReport:
    OUT.print(f"\n[bold]{title}[/]: {explained}.")
    report, error = run_shown(sync, options, private=True)
    if error is not None:
        raise error
    assert report is not None
    show_report(report)
    return report


def _engagement(braze_url: str) -> None:
    """People get mail and react; Currents posts it to the receiver; the flow returns it to their rows."""
    with Ledger.open(load_settings().ledger_url) as ledger:
        mailed = ledger.sent_keys(SYNC, after=0, limit=MAILED)[KEY].to_list()
    before = asyncio.run(_rows_of(mailed[:SHOWN]))
    with receiver() as (address, token):
        events = mail(braze_url, mailed)
        OUT.print(
            f"\n[bold]7. Braze mails {len(mailed)} of them twice[/], and Currents posts {number(events)} events to "
            "`caspio-sync receive`, some twice and in disorder."
        )
        told = post(f"{braze_url}/sandbox/currents", {"url": address, "token": token})
        OUT.print(f"Answers: {told['answers']}; {told['waiting']} events left with Braze.")
    _run(
        "8. The engagement return",
        "opens, clicks, bounces and opt-outs go back to the rows, by as few calls as possible",
        ENGAGEMENT,
    )
    after = asyncio.run(_rows_of(mailed[:SHOWN]))
    rows = [tuple(_change(old[name], new[name]) for name in COLUMNS) for old, new in zip(before, after, strict=True)]
    OUT.print()
    show_table("their rows in Caspio, before > after", COLUMNS, rows)


def _live_orders() -> None:
    """Orders of the past are taken for told; then a webhook announces new ones."""
    _run(
        "9. Orders",
        "those of the past are recorded as they are, and none of them is sent",
        ORDERS,
        RunOptions(baseline=True),
    )
    took = place_orders(LIVE)
    OUT.print(
        f"\n[bold]10. {LIVE} orders are placed now[/], line by line; a webhook announces each, and it is read with its "
        "lines, judged and sent."
    )
    OUT.print(
        f"The first was an event in Braze {took[0]:.2f} seconds after it was placed, as the gate was loading; the "
        f"others within {max(took[1:]):.2f}, half of them within {median(took[1:]):.2f}."
    )


def _contacts() -> None:
    """The same people go to the other destination, and some of their orders with them."""
    _run(
        "11. A thousand of the people, in ActiveCampaign",
        "contacts with custom fields, tags and a list, by imports of 250; an address that two rows have is set aside",
        CONTACTS,
        RunOptions(limit=MET),
    )
    _run("12. Deals", "some of the shop's orders, each made once, with its contact", DEALS, RunOptions(limit=DEALT))


def _change(old: Any, new: Any) -> str:
    before, after = (str("" if each is None else each).removesuffix("T00:00:00") for each in (old, new))
    return after if before == after else f"{before or '-'} > {after}"


async def _rows_of(keys: list[str]) -> list[dict[str, Any]]:
    listed = ",".join(f"'{key}'" for key in keys)
    async with caspio_client(load_settings(), SystemClock()) as caspio:
        page = await caspio.records(
            CUSTOMERS, select=list(COLUMNS), where=f"CustomerNo IN ({listed})", order_by="PK_ID ASC", limit=SHOWN
        )
    return list(orjson.loads(page.rows))


async def _edit() -> int:
    """Edit rows that Braze has, as a person would: through Caspio's REST API."""
    settings = load_settings()
    with Ledger.open(settings.ledger_url) as ledger:
        held = ledger.quarantine(SYNC, (Verdict.QUARANTINED, Verdict.REJECTED), limit=10_000)
    taken = set(held[SOURCE_PK].to_list())
    edited = 0
    async with caspio_client(settings, SystemClock()) as caspio:
        for rows, where, values in EDITS:
            page = await caspio.records(CUSTOMERS, select=["PK_ID"], where=where, order_by="PK_ID ASC", limit=1000)
            chosen = [row["PK_ID"] for row in orjson.loads(page.rows) if row["PK_ID"] not in taken][:rows]
            taken.update(chosen)
            edited += await caspio.update(CUSTOMERS, values, where=f"PK_ID IN ({','.join(map(str, chosen))})")
    return edited


async def _restock() -> tuple[int, int]:
    """Change prices and take products away, as a person would: through Caspio's REST API."""
    settings = load_settings()
    async with caspio_client(settings, SystemClock()) as caspio:
        dear = await caspio.update(PRODUCTS, {"Price": 1.35}, where="Price=1.25 AND Sold>3000")
        page = await caspio.records(
            PRODUCTS, select=["PK_ID"], where="Sold<2 AND Price>0", order_by="PK_ID ASC", limit=10
        )
        gone = ",".join(str(row["PK_ID"]) for row in orjson.loads(page.rows))
        return dear, await caspio.delete(PRODUCTS, where=f"PK_ID IN ({gone})")

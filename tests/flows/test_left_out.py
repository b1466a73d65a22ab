"""`on_bad: skip`: a row whose phone number cannot be read leaves without it."""

import sqlite3
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.schemas import Verdict
from tests.flows.world import CUSTOMERS, SYNC, World

PHONE = {"Name": "Phone", "Type": "STRING"}
SKIPPING = SYNC.replace("  spend: Spend\n", "  spend: Spend\n  phone: {from: Phone, on_bad: skip, on_null: clear}\n")
GOOD = "+447400900123"


@pytest.fixture
def shop(world: World) -> World:
    rows = [world.person(1, Phone="n/a"), world.person(2, Phone=GOOD), world.person(3, Phone="n/a", Email="no address")]
    world.customers(rows, [*CUSTOMERS, PHONE])
    world.sync(SKIPPING)
    return world


def sent(world: World) -> dict[str, dict[str, Any]]:
    return {each["external_id"]: each for each in world.sent()}


def test_the_rest_of_the_row_leaves_and_the_report_says_so(shop: World) -> None:
    planned = shop.plan()
    report = shop.run(full=True)
    assert report.verdicts == {Verdict.SENT: 2, Verdict.QUARANTINED: 1}
    assert sent(shop)["c1"]["email"]
    assert "phone" not in sent(shop)["c1"]
    assert sent(shop)["c2"]["phone"] == GOOD
    for told in (planned.report, report):
        (check,) = (each for each in told.checks if each.name == "skipped")
        assert (check.severity, check.failed) == ("warning", 2)
        assert "phone" in check.why
    why = CliRunner().invoke(app, ["why", "customers", "c1"], env={"COLUMNS": "200"}).stdout
    assert "phone: is no valid phone number (x/x), so that it is left out" in why


def test_what_braze_has_of_it_stays_and_a_corrected_value_travels_alone(shop: World) -> None:
    shop.run(full=True)
    shop.forget()
    shop.caspio.update_rows("Customers", {"Phone": "n/a"}, "PK_ID = 2")
    assert shop.run(full=True).changed == 0
    assert shop.sent() == []
    shop.caspio.update_rows("Customers", {"Phone": GOOD}, "PK_ID = 2")
    shop.caspio.update_rows("Customers", {"Phone": "+447400900124", "Spend": 7}, "PK_ID = 1")
    shop.run(full=True)
    objects = sent(shop)
    assert objects.keys() == {"c1"}
    assert objects["c1"]["phone"] == "+447400900124"
    assert "email" not in objects["c1"]
    shop.forget()
    shop.caspio.update_rows("Customers", {"Phone": "", "Spend": 8}, "PK_ID = 1")
    shop.run(full=True)
    assert sent(shop)["c1"]["phone"] is None


def test_nothing_but_an_ill_formed_value_is_left_out(shop: World) -> None:
    shop.run(full=True)
    with sqlite3.connect(shop.ledger_file) as ledger:
        reasons = [reason for (reason,) in ledger.execute("SELECT reason FROM row WHERE source_pk = 3")]
    assert reasons[0].startswith("email_format | email: ")


def test_plan_warns_of_a_date_that_many_rows_share(world: World) -> None:
    born = ["1900-01-01"] * 20 + [f"1980-01-{day:02d}" for day in range(1, 29)]
    rows = [world.person(number, Born=day) for number, day in enumerate(born, start=1)]
    world.customers(rows, [*CUSTOMERS, {"Name": "Born", "Type": "STRING"}])
    world.sync(SYNC.replace("  spend: Spend\n", "  spend: Spend\n  dob: Born\n"))
    (warning,) = world.plan().warnings
    assert "customers.yaml:11: dob: 20 rows (42% of those with a date) share 1900-01-01" in warning
    world.sync(SYNC.replace("  spend: Spend\n", '  spend: Spend\n  dob: {from: Born, empty: ["1900-01-01"]}\n'))
    assert world.plan().warnings == []

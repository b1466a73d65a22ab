"""A condition that is wrong must not delete everybody: the brake by share, wherever people can be named."""

import asyncio

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.examine import examine
from caspio_sync.cli.main import app
from caspio_sync.settings import current_settings
from tests.flows.world import World

PEOPLE = 60
WHERE = 'erasure: {where: "Notes IS NOT NULL"}\n'
TABLE = "erasure: {table: ErasureRequests, key: CustomerNo}\n"
SHARE = "erasure would take 100% of 60 rows in table Customers (60 people who were not named before)"


@pytest.fixture
def shop(world: World) -> World:
    """People who are in Braze; of each the note is an empty text, which Caspio does not take for NULL."""
    world.people(PEOPLE)
    world.caspio.create_table("ErasureRequests", [{"Name": "CustomerNo", "Type": "STRING"}])
    world.sync()
    world.run()
    world.clock.advance(86_400)
    world.forget()
    return world


def name(world: World, count: int) -> None:
    world.caspio.insert_rows("ErasureRequests", [{"CustomerNo": f"c{number}"} for number in range(1, count + 1)])


def findings(world: World) -> list[str]:
    _, sync = asyncio.run(examine(current_settings(), ["customers"]))
    return [each.what for each in sync.findings if each.level == "error"]


@pytest.mark.parametrize("form", [WHERE, TABLE])
def test_a_condition_that_takes_everybody_erases_nobody(shop: World, form: str) -> None:
    name(shop, PEOPLE)
    shop.sync(shop.SYNC + form)
    shop.caspio.update_rows("Customers", {"Newsletter": "no"}, where="CustomerNo='c7'")
    plan = shop.plan()
    assert f"customers.yaml:14: {SHARE}" in str(plan.blocked)
    assert any(SHARE in each for each in findings(shop))
    ended = shop.ended()
    assert (ended.code, SHARE in ended.message, "--allow-erasures" in ended.message) == (3, True, True)
    assert len(shop.profiles()) == PEOPLE
    assert [each["external_id"] for each in shop.sent()] == ["c7"]  # an opt-out never waits
    with shop.ledger() as ledger:
        assert ledger.pending_erasures("customers") == []


def test_it_goes_on_when_asked_for_and_is_no_news_afterwards(shop: World) -> None:
    shop.sync(shop.SYNC + WHERE)
    assert shop.ended(allow_erasures=True).code == 0
    assert shop.profiles() == {}
    assert shop.plan().blocked is None
    assert findings(shop) == []
    assert shop.ended().code == 0


@pytest.mark.parametrize(("named", "rows", "code"), [(20, 60, 0), (21, 60, 3), (21, 420, 0), (21, 419, 3)])
def test_where_the_brake_lies(shop: World, named: int, rows: int, code: int) -> None:
    shop.caspio.insert_rows("Customers", [shop.person(number) for number in range(PEOPLE + 1, rows + 1)])
    name(shop, named)
    shop.sync(shop.SYNC + TABLE)
    assert shop.ended().code == code


def test_a_ledger_that_knows_nobody_is_no_way_around(world: World) -> None:
    world.people(PEOPLE)
    world.sync(world.SYNC + WHERE)
    assert world.ended().code == 3


def test_people_named_by_hand(shop: World) -> None:
    keys = [f"c{number}" for number in range(1, 22)]
    refused = CliRunner().invoke(app, ["erase", "customers", *keys, "--yes"])
    assert "35% of 60 rows" in str(refused.exception)
    assert refused.exception is not None
    assert refused.exception.exit_code == 3  # type: ignore[attr-defined]
    assert len(shop.profiles()) == PEOPLE
    assert CliRunner().invoke(app, ["erase", "customers", *keys, "--yes", "--allow-erasures"]).exit_code == 0
    assert len(shop.profiles()) == PEOPLE - 21

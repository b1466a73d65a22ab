"""`CASPIO_SYNC_PRIVATE`: a field that stays in Caspio is read by no sync, for whatever it were."""

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import current_settings
from tests.flows.orders import LOOSE, PLACED, order, shop
from tests.flows.world import SYNC, World


@pytest.mark.parametrize(
    ("private", "sync", "told"),
    [
        ("Customers.Notes", SYNC, "Customers.Notes"),
        ("customers.nOTES, Other.Email", SYNC, "Customers.Notes"),
        ("*.Newsletter", SYNC, "Customers.Newsletter"),
        ("Customers.ChangedAt", SYNC, "Customers.ChangedAt"),
        ("Customers.CustomerNo", SYNC, "Customers.CustomerNo"),
        (
            "Customers.Notes",
            SYNC.replace("  notes: {from: Notes, transform: {truncate: 255}, on_null: clear}\n", "").replace(
                "  table: Customers\n", "  table: Customers\n  where: \"Notes <> 'x'\"\n"
            ),
            "customers.yaml:4: Customers.Notes",
        ),
        (
            "Customers.Notes",
            SYNC.replace("{from: Notes, transform: {truncate: 255}, on_null: clear}", "{object: {said: Notes}}"),
            "Customers.Notes",
        ),
        (
            "Customers.Notes",
            SYNC.replace("  notes: {from: Notes, transform: {truncate: 255}, on_null: clear}\n", "")
            + "erasure: {where: \"Notes = 'erase me'\"}\n",
            "Customers.Notes",
        ),
    ],
    ids=["mapped", "any case", "consent of any table", "cursor", "key", "condition", "inside an object", "erasure"],
)
def test_a_sync_that_reads_it_is_refused_before_the_first_row(
    world: World, monkeypatch: pytest.MonkeyPatch, private: str, sync: str, told: str
) -> None:
    world.people(2)
    world.sync(sync)
    monkeypatch.setenv("CASPIO_SYNC_PRIVATE", private)
    ended = world.ended()
    assert (ended.code, world.sent()) == (2, [])
    assert told in ended.message
    assert "CASPIO_SYNC_PRIVATE says that it stays in Caspio" in ended.message
    assert told in str(world.refused_plan())


def test_what_is_private_elsewhere_travels_from_here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(2)
    world.sync(SYNC.replace("  table: Customers\n", "  table: Customers\n  where: \"FirstName <> 'Diagnosis'\"\n"))
    monkeypatch.setenv("CASPIO_SYNC_PRIVATE", "Patients.Email, Customers.Diagnosis")
    assert world.run().sent == 2


def test_a_field_of_an_orders_lines_is_kept_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(world, [order(1)], [], PLACED + LOOSE)
    monkeypatch.setenv("CASPIO_SYNC_PRIVATE", "OrderLines.OrderNo")
    ended = world.ended("placed")
    assert (ended.code, "OrderLines.OrderNo" in ended.message) == (2, True)


@pytest.mark.parametrize("given", ["SSN", "Customers.", ".SSN", "A.B.C"])
def test_what_is_no_field_is_refused_rather_than_believed(
    monkeypatch: pytest.MonkeyPatch, world: World, given: str
) -> None:
    monkeypatch.setenv("CASPIO_SYNC_PRIVATE", given)
    with pytest.raises(ConfigurationError, match=r"TABLE\.FIELD"):
        current_settings("customers")

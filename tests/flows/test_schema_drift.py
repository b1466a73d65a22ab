"""A table whose design changes between two runs: the field stops or the sync does, and the report says which."""

from typing import Any

import pytest

from tests.flows.world import World

AN_HOUR = 3600


@pytest.fixture
def known(world: World) -> World:
    """Three customers, all of them sent."""
    world.people(3)
    world.sync()
    world.run()
    world.clock.advance(AN_HOUR)
    world.forget()
    return world


def redesign(world: World, make: Any) -> None:
    """Other fields in the same table, as Caspio's table design changes them: rows and equal names stay."""
    from caspio_sync.sandbox.caspio.fields import read_field

    account = world.caspio.account
    table = account.table("Customers")
    kept = make({field.name: field for field in table.fields})
    fields = [
        read_field(field, order) if isinstance(field, dict) else field
        for order, field in enumerate(kept.values(), start=1)
    ]
    account.change_fields(
        table, fields, {field.name: field.name for field in fields if not isinstance(kept[field.name], dict)}
    )


def without(world: World, *names: str) -> None:
    redesign(world, lambda fields: {name: field for name, field in fields.items() if name not in names})


def added(world: World, name: str, kind: str) -> None:
    redesign(world, lambda fields: {**fields, name: {"Name": name, "Type": kind}})


def retype(world: World, name: str, kind: str, value: Any) -> None:
    """The field in another type, every row with this value."""
    redesign(world, lambda fields: {**fields, name: {"Name": name, "Type": kind}})
    world.caspio.update_rows("Customers", {name: value}, "PK_ID > 0")


def put_back(world: World, name: str, kind: str, values: dict[str, Any]) -> None:
    """The field as it was, each row's value by its key; no stamp moves."""
    redesign(
        world, lambda fields: {**{n: f for n, f in fields.items() if n != name}, name: {"Name": name, "Type": kind}}
    )
    for key, value in values.items():
        world.edit_unstamped(f"UPDATE Customers SET {name} = {value} WHERE CustomerNo = '{key}'")


def test_field_retyped_into_text_of_the_same_numbers_sends_nothing(world: World) -> None:
    world.customers([world.person(number, Spend=2.5) for number in range(1, 4)])
    world.sync(world.SYNC.replace("spend: Spend", "spend: {from: Spend, type: number}"))
    world.run()
    world.clock.advance(3600)
    retype(world, "Spend", "STRING", "2.5")
    requests = world.braze.requests
    ended = world.ended()
    assert (ended.code, ended.report.mode, ended.report.read, ended.report.unchanged) == (0, "sweep", 3, 3)
    assert world.braze.requests == requests


def test_a_new_field_is_named_once_by_plan_and_run(known: World) -> None:
    added(known, "Tier", "STRING")
    planned = known.plan()
    assert planned.report.drift == ["Tier (STRING) is new; it is not mapped"]
    assert known.run().drift == planned.report.drift
    assert known.run().drift == []


def test_a_vanished_field_stops_alone_and_its_return_sends_what_differs_and_no_more(known: World) -> None:
    without(known, "Spend")
    known.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c1'")
    known.caspio.insert_rows("Customers", [{k: v for k, v in known.person(4).items() if k != "Spend"}])
    planned = known.plan()
    ended = known.ended()
    (line,) = ended.report.drift
    assert line.startswith("STOPPED spend: Spend (NUMBER) is gone")
    assert planned.report.drift == ended.report.drift
    assert (ended.code, ended.report.mode, ended.report.read) == (0, "incremental", 4)
    assert {each["external_id"]: set(each) & {"first_name", "spend"} for each in known.sent()} == {
        "c1": {"first_name"},
        "c4": {"first_name"},
    }
    assert known.profiles()["c1"]["custom_attributes"] == {"spend": 0.25}
    known.clock.advance(AN_HOUR)
    again = known.ended(full=True)
    assert again.report.drift == [line]
    assert (again.report.unchanged, again.report.requests) == (4, 0)
    assert known.ended(resend=True).report.sent == 4
    assert known.profiles()["c1"]["custom_attributes"] == {"spend": 0.25}
    known.clock.advance(AN_HOUR)
    known.forget()
    put_back(known, "Spend", "NUMBER", {"c1": 0.25, "c2": 7, "c3": 0.75, "c4": 1})
    back = known.ended()
    assert back.report.drift == ["Spend is no longer stopped: it goes on, and every row is read once"]
    assert back.report.mode == "sweep"
    assert {each["external_id"]: each.get("spend") for each in known.sent()} == {"c2": 7, "c4": 1}
    assert {key: each["custom_attributes"]["spend"] for key, each in known.profiles().items()} == {
        "c1": 0.25, "c2": 7, "c3": 0.75, "c4": 1,
    }  # fmt: skip
    known.clock.advance(AN_HOUR)
    assert (known.run().mode, known.run().drift) == ("incremental", [])


def test_a_retyped_field_stops_until_it_is_accepted(known: World) -> None:
    retype(known, "Spend", "STRING", "7")
    ended = known.ended()
    assert ended.code == 0
    (line,) = ended.report.drift
    assert line.startswith("STOPPED spend: Spend was NUMBER and is STRING")
    assert "--accept-schema" in line
    assert known.sent() == []
    known.clock.advance(AN_HOUR)
    assert known.run().drift == [line]
    accepted = known.ended(accept_schema=True)
    assert (accepted.code, accepted.report.mode, accepted.report.changed_fields) == (0, "sweep", {"spend": 3})
    assert [set(each) for each in known.sent()] == [{"external_id", "spend", "_update_existing_only"}] * 3
    known.clock.advance(AN_HOUR)
    assert known.run().drift == []


def test_a_field_retyped_into_what_cannot_be_mapped_stops_until_the_sync_file_fits(known: World) -> None:
    retype(known, "Spend", "DATE/TIME", "2026-01-01")
    ended = known.ended()
    assert (ended.code, known.sent()) == (0, [])
    assert "Spend was NUMBER and is DATE/TIME" in ended.report.drift[0]
    known.sync(known.SYNC.replace("spend: Spend", "spend: {from: Spend, type: datetime}"))
    corrected = known.ended()
    assert (corrected.code, corrected.report.changed_fields) == (0, {"spend": 3})


@pytest.mark.parametrize(
    ("name", "use", "change"),
    [
        ("CustomerNo", "the key (identity.external_id)", None),
        ("ChangedAt", "the cursor (source.cursor)", None),
        ("Newsletter", "a consent state (consent: email_subscribe)", None),
        ("CustomerNo", "the key", "INTEGER"),
        ("FirstName", "named in source.where", None),
        ("Email", "judged by gate.expectations (email)", None),
    ],
)
def test_a_required_field_stops_the_sync(world: World, name: str, use: str, change: str | None) -> None:
    world.people(3)
    text = world.SYNC.replace("  cursor: ChangedAt", "  cursor: ChangedAt\n  where: FirstName <> 'Spend'")
    world.sync(text + "gate: {expectations: [{type: expect_column_values_to_not_be_null, kwargs: {column: email}}]}\n")
    world.run()
    before = world.watermark()
    world.forget()
    if change is None:
        without(world, name)
    else:
        retype(world, name, change, 1)
    ended = world.ended()
    assert ended.code == 2
    assert name in ended.message
    assert use in ended.message
    assert "Nothing was sent" in ended.message
    assert use in str(world.refused_plan())
    assert (world.sent(), world.watermark()) == ([], before)


def test_a_text_in_the_condition_is_no_field(world: World) -> None:
    world.people(3)
    world.sync(world.SYNC.replace("  cursor: ChangedAt", "  cursor: ChangedAt\n  where: FirstName <> 'Spend'"))
    world.run()
    without(world, "Spend")
    assert world.ended().code == 0


def test_an_object_with_a_vanished_member_stops_whole(world: World) -> None:
    world.people(2)
    world.sync(world.SYNC.replace("  spend: Spend", "  card: {object: {name: FirstName, spend: Spend}}"))
    world.run()
    world.clock.advance(AN_HOUR)
    world.forget()
    without(world, "Spend")
    world.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c1'")
    assert "STOPPED card" in world.run().drift[0]
    assert [set(each) & {"first_name", "card"} for each in world.sent()] == [{"first_name"}]
    assert world.profiles()["c1"]["custom_attributes"]["card"] == {"name": "Name1", "spend": 0.25}


def test_a_removed_mapping_ends_the_stop(known: World) -> None:
    without(known, "Spend")
    known.run()
    known.sync(known.SYNC.replace("  spend: Spend\n", ""))
    assert known.run().drift == ["Spend (NUMBER) is gone; it is not mapped"]
    assert known.run().drift == []
    assert known.sent() == []


def test_lesser_changes_are_named(world: World) -> None:
    fields = [{**each, "Unique": True} if each["Name"] == "CustomerNo" else each for each in world.CUSTOMERS]
    world.customers([world.person(1)], fields)
    world.sync()
    world.run()
    redesign(world, lambda held: {**held, "CustomerNo": {"Name": "CustomerNo", "Type": "STRING"}})
    world.caspio.update_rows("Customers", {"CustomerNo": "c1"}, "PK_ID > 0")
    ended = world.ended()
    assert ended.report.drift == ["CustomerNo is no longer unique: of rows that share a key only one is sent"]


def test_another_table_is_not_held_against_the_first(known: World) -> None:
    known.caspio.create_table("People", [each for each in known.CUSTOMERS if each["Name"] != "Spend"])
    known.sync(known.SYNC.replace("Customers", "People"))
    ended = known.ended()
    assert ended.code == 2
    assert "'People' has no field 'Spend'" in ended.message


def test_status_tells_what_changed(known: World) -> None:
    from typer.testing import CliRunner

    from caspio_sync.cli.main import app

    without(known, "Spend")
    known.run()
    output = CliRunner().invoke(app, ["status", "customers"]).output
    assert "STOPPED spend: Spend (NUMBER) is gone" in output
    plan = CliRunner().invoke(app, ["plan", "customers"]).output
    assert "STOPPED spend" in plan

"""Tables that are not what the sync file says: refused with file, line and remedy before a row is read, or read rightly."""

import pytest

from tests.flows.world import World

STAMP = {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "TimeZone": "GMT Standard Time"}


def test_missing_table_is_named_with_the_remedy(world: World) -> None:
    world.sync()
    ended = world.ended()
    assert ended.code == 2
    assert "table Customers" in ended.message
    assert "404" in ended.message
    assert "check the name of the table" in ended.message


def test_missing_sync_file_is_named(world: World) -> None:
    ended = world.ended("nobody")
    assert ended.code == 2
    assert "syncs/nobody.yaml" in ended.message


def test_missing_fields_are_all_named_with_their_lines_and_the_nearest(world: World) -> None:
    world.people(3)
    world.sync(world.SYNC.replace("Email\n", "Mail\n").replace("spend: Spend", "spend: Spent"))
    ended = world.ended()
    assert ended.code == 2
    assert "syncs/customers.yaml:9" in ended.message
    assert "has no field 'Spent' (did you mean 'Spend'?)" in ended.message
    assert "'Mail'" in ended.message
    assert world.braze.requests == 0
    assert not world.ledger_file.exists()


def test_missing_cursor_field_is_named_and_what_stamped_fields_there_are(world: World) -> None:
    world.people(3)
    world.sync(world.SYNC.replace("cursor: ChangedAt", "cursor: Changed"))
    ended = world.ended()
    assert ended.code == 2
    assert "source.cursor: the table has no field Changed" in ended.message
    assert "ChangedAt" in ended.message


def test_cursor_without_on_update_is_refused(world: World) -> None:
    fields = [each for each in world.CUSTOMERS if each["Name"] != "ChangedAt"]
    world.customers([world.person(1)], [*fields, STAMP])
    world.sync()
    ended = world.ended()
    assert ended.code == 2
    assert "ChangedAt (TIMESTAMP) is not stamped on update, so changes would be missed" in ended.message
    assert "leave the cursor out to read all rows every time" in ended.message
    assert world.braze.requests == 0


def test_empty_table_is_a_run_that_sends_nothing(world: World) -> None:
    world.people(0)
    world.sync()
    planned = world.plan()
    ended = world.ended()
    assert (ended.code, ended.report.read, ended.report.sent, ended.report.state) == (0, 0, 0, "done")
    assert (planned.to_send, planned.blocked) == (0, None)
    assert world.braze.requests == 0
    world.caspio.insert_rows("Customers", [world.person(1)])
    world.clock.advance(60)
    assert world.run().sent == 1


def test_table_of_one_row_is_sent_whole(world: World) -> None:
    world.people(1)
    world.sync()
    ended = world.ended()
    assert (ended.code, ended.report.read, ended.report.sent) == (0, 1, 1)
    assert world.profiles()["c1"]["email"] == "c1@example.com"


def test_unknown_condition_is_refused_with_caspios_words(world: World) -> None:
    world.people(2)
    world.sync(world.SYNC.replace("  cursor: ChangedAt", "  cursor: ChangedAt\n  where: Nothing = 1"))
    ended = world.ended()
    assert ended.code in {2, 4}
    assert "Customers" in ended.message
    assert "Nothing" in ended.message


@pytest.mark.parametrize("line", ["  kinds: profiles", "kind: people"])
def test_half_understood_file_never_runs(world: World, line: str) -> None:
    world.people(1)
    world.sync(world.SYNC + f"{line.strip()}\n" if "kinds" in line else world.SYNC.replace("kind: profiles", line))
    ended = world.ended()
    assert ended.code == 2
    assert "syncs/customers.yaml:" in ended.message
    assert world.caspio.calls == 0

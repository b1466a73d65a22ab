"""Events of rows that are taken from the messages that announced them: each once, and none otherwise than its row."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.sealed import KEYS_VARIABLE, new_key
from tests.flows.happenings import LOOSE, TICKETS_SYNC, arrived, ticket, tickets
from tests.flows.hooked import Hooked
from tests.flows.world import World

AN_HOUR = 3600.0
LIST = {"Name": "Tags", "Type": "LIST-STRING", "ListField": ["red", "blue"]}


@pytest.fixture
def hooked(world: World, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    """A table of one ticket that was sent, a key, and a webhook whose feed keeps rows that are added."""
    monkeypatch.setenv(KEYS_VARIABLE, new_key())
    made = Hooked(world, keys=SecretStr(os.environ[KEYS_VARIABLE]))
    tickets(world, [ticket(1)])
    made.hook("Tickets", "tickets")
    world.clock.advance(AN_HOUR)
    assert world.run("tickets").sent == 1
    world.clock.advance(AN_HOUR)
    return made


def open_ticket(hooked: Hooked, number: int, **more: Any) -> int:
    now = hooked.world.clock.now()
    row = ticket(number, OpenedAt=f"{now:%Y-%m-%dT%H:%M:%S}", **more)
    (pk,) = hooked.world.caspio.datasheet.insert("Tickets", row)
    return pk


def subjects(world: World) -> list[tuple[str, str]]:
    return [(each["external_id"], each["properties"]["status"]) for each in arrived(world)]


def test_a_row_that_was_added_is_an_event_without_being_read(hooked: Hooked) -> None:
    world = hooked.world
    open_ticket(hooked, 2)
    hooked.deliver()
    assert hooked.kept() == 1
    report = world.run("tickets", hints=True)
    assert (report.hints, report.told, report.sent) == (1, 1, 1)
    assert report.caspio_calls == 2  # token, fields
    assert subjects(world) == [("c1", "open"), ("c2", "open")]
    assert hooked.kept() == hooked.waiting("tickets") == 0
    world.clock.advance(AN_HOUR)
    assert world.run("tickets", full=True).sent == 0
    first, second = arrived(world)
    assert second | {"external_id": 0, "time": 0, "properties": 0} == first | {
        "external_id": 0,
        "time": 0,
        "properties": 0,
    }


def test_without_the_key_or_with_another_one_the_row_is_read(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    world = hooked.world
    for number, key in ((2, ""), (3, new_key())):
        open_ticket(hooked, number)
        hooked.deliver()
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv(KEYS_VARIABLE, key)
            report = world.run("tickets", hints=True)
        assert (report.told, report.sent) == (0, 1)
    assert len(arrived(world)) == 3


@pytest.mark.parametrize("sweeps_first", [True, False])
@pytest.mark.parametrize("on_update", ["ignore", "new_event"])
def test_a_row_that_was_edited_before_its_message_came_is_one_version_after_the_other(
    hooked: Hooked, on_update: str, sweeps_first: bool
) -> None:
    """What the ledger knows is newer than what the message says; and what was sent from the message comes first."""
    world = hooked.world
    world.sync(TICKETS_SYNC + f"on_update: {on_update}\ntrust: payload\n" + LOOSE, "tickets")
    pk = open_ticket(hooked, 2)
    world.caspio.update_rows("Tickets", {"Status": "closed"}, f"PK_ID = {pk}")  # of which no webhook tells
    hooked.deliver()
    world.clock.advance(60)
    for hints in (not sweeps_first, sweeps_first):
        world.run("tickets", hints=hints)
        world.clock.advance(AN_HOUR)
    world.run("tickets", full=True)
    if sweeps_first:
        assert subjects(world) == [("c1", "open"), ("c2", "closed")]
    elif on_update == "ignore":
        assert subjects(world) == [("c1", "open"), ("c2", "open")]
    else:
        assert subjects(world) == [("c1", "open"), ("c2", "open"), ("c2", "closed")]


def test_of_versions_a_row_that_two_ways_may_spell_otherwise_is_read(hooked: Hooked) -> None:
    world = hooked.world
    world.sync(TICKETS_SYNC + "on_update: new_event\ntrust: payload\n" + LOOSE, "tickets")
    open_ticket(hooked, 2, Subject="")
    open_ticket(hooked, 3)
    hooked.deliver()
    report = world.run("tickets", hints=True)
    assert (report.told, report.sent) == (1, 2)
    world.clock.advance(AN_HOUR)
    assert world.run("tickets", full=True).sent == 0


def test_what_was_changed_or_deleted_in_the_same_window_is_read(hooked: Hooked) -> None:
    world, sheet = hooked.world, hooked.world.caspio.datasheet
    changed, gone = open_ticket(hooked, 2), open_ticket(hooked, 3)
    sheet.update("Tickets", {"Status": "closed"}, f"PK_ID={changed}")
    sheet.delete("Tickets", f"PK_ID={gone}")
    hooked.deliver()
    report = world.run("tickets", hints=True)
    assert (report.told, report.sent) == (0, 1)
    assert subjects(world)[1:] == [("c2", "closed")]
    assert hooked.kept() == 0


def test_a_row_that_is_gone_by_now_has_happened(hooked: Hooked) -> None:
    pk = open_ticket(hooked, 2)
    hooked.world.caspio.delete_rows("Tickets", f"PK_ID={pk}")  # of which no webhook tells
    hooked.deliver()
    assert hooked.world.run("tickets", hints=True).sent == 1


def test_a_message_that_lacks_a_mapped_field_has_its_row_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are left out beside triggered actions; a mapping may have grown since."""
    monkeypatch.setenv(KEYS_VARIABLE, new_key())
    hooked = Hooked(world, keys=SecretStr(os.environ[KEYS_VARIABLE]))
    hooked.misbehave(triggered_tables=("Tickets",))
    text = TICKETS_SYNC.replace("properties: {", "properties: {tags: Tags, ") + LOOSE
    tickets(world, [], text, [LIST])
    hooked.hook("Tickets", "tickets")
    open_ticket(hooked, 2, Tags=[1])
    hooked.deliver()
    assert hooked.kept() == 1
    report = world.run("tickets", hints=True)
    assert (report.told, report.sent) == (0, 1)
    assert arrived(world)[0]["properties"]["tags"] == ["red"]


def test_a_list_in_a_message_is_the_list_of_the_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, new_key())
    hooked = Hooked(world, keys=SecretStr(os.environ[KEYS_VARIABLE]))
    text = TICKETS_SYNC.replace("properties: {", "properties: {tags: Tags, ") + LOOSE
    tickets(world, [], text, [LIST])
    hooked.hook("Tickets", "tickets")
    open_ticket(hooked, 2, Tags=[1, 2])
    hooked.deliver()
    assert world.run("tickets", hints=True).told == 1
    assert arrived(world)[0]["properties"]["tags"] == ["red", "blue"]


def test_a_template_tells_numbers_as_text_and_they_are_numbers(hooked: Hooked) -> None:
    world = hooked.world
    names = ("PK_ID", "CustomerNo", "Subject", "Status", "Priority", "OpenedAt", "ChangedAt")
    row = ",".join(f"'{name}':'[@field:{name}]'" for name in names)
    words = ("messageId", "secret", "eventDate", "eventType", "objectName")
    told = ",".join(f"'{name}':'[@out-hook:{name}]'" for name in words)
    hooked.retell("tickets", "{" + told + ",'data':[{" + row + "}]}")
    open_ticket(hooked, 2)
    hooked.deliver()
    assert world.run("tickets", hints=True).told == 1
    assert arrived(world)[1]["properties"]["priority"] == 2
    world.clock.advance(AN_HOUR)
    assert world.run("tickets", full=True).sent == 0


def test_what_the_gate_holds_waits_and_leaves_when_its_row_is_corrected(hooked: Hooked) -> None:
    world = hooked.world
    pk = open_ticket(hooked, 2, CustomerNo="")
    hooked.deliver()
    assert world.run("tickets", hints=True).verdicts == {"quarantined": 1}
    assert hooked.kept() == 0
    world.caspio.update_rows("Tickets", {"CustomerNo": "c2"}, f"PK_ID = {pk}")
    world.clock.advance(AN_HOUR)
    assert world.run("tickets").verdicts == {"sent": 1}


def test_an_erasure_takes_all_rows_of_messages_and_sends_nothing_of_the_person(hooked: Hooked) -> None:
    world = hooked.world
    world.clock.advance(AN_HOUR)
    open_ticket(hooked, 1, Subject="again")
    open_ticket(hooked, 2)
    hooked.deliver()
    assert hooked.kept() == 2
    done = CliRunner().invoke(app, ["erase", "tickets", "c1", "--yes"])
    assert done.exit_code == 0, done.output
    assert hooked.kept() == 0
    report = world.run("tickets", hints=True)
    assert (report.told, report.sent) == (0, 1)
    open_ticket(hooked, 1, Subject="once more")
    hooked.deliver()
    report = world.run("tickets", hints=True)
    assert (report.told, report.sent) == (1, 0)
    assert [each["external_id"] for each in arrived(world)] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("more", "trusts"),
    [("", True), ("trust: row\n", False), ("on_update: new_event\n", False), ("on_update: new_event\ntrust: payload\n", True),
     ("when: Priority > 1\n", False)],
)  # fmt: skip
def test_which_syncs_take_rows_from_messages(more: str, trusts: bool) -> None:
    assert parse_sync(TICKETS_SYNC + more, Path("tickets.yaml")).trusts_payload is trusts


@pytest.mark.parametrize("more", ["when: Priority > 1\n", "source: {table: Tickets, where: Priority > 1}\n"])
def test_what_only_caspio_can_judge_is_no_matter_of_messages(more: str) -> None:
    text = (
        TICKETS_SYNC
        if "source" not in more
        else TICKETS_SYNC.replace("source: {table: Tickets, cursor: ChangedAt}\n", "")
    )
    with pytest.raises(ConfigurationError, match="trust: only Caspio can judge a condition"):
        parse_sync(text + more + "trust: payload\n", Path("tickets.yaml"))

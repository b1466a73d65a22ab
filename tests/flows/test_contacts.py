"""Profiles to ActiveCampaign, from table to account and back: what arrives, what never may, and what it costs."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.hooked import Hooked
from tests.flows.killing import killed_after
from tests.flows.world import World

HOUR = 3600.0
PEOPLE: list[dict[str, Any]] = [
    {"Name": "Email", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Phone", "Type": "STRING"},
    {"Name": "Level", "Type": "STRING"},
    {"Name": "Interests", "Type": "LIST-STRING", "ListField": ["Yoga", "Pilates", "Running"]},
    {"Name": "Since", "Type": "DATE/TIME"},
    {"Name": "Spend", "Type": "NUMBER"},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Erase", "Type": "STRING"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
SYNC = """\
kind: profiles
destination: activecampaign
source: {table: People, cursor: ChangedAt}
identity: {email: Email}
fields:
  firstName: FirstName
  phone: {from: Phone, transform: {phone: {region: US}}}
  Member Level: {from: Level, type: dropdown, map: {g: Gold, s: Silver}, on_null: clear}
  Interests: Interests
  Since: {from: Since, type: datetime}
  Spend: Spend
lists:
  Newsletter: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
options: {create: true}
gate: {max_quarantined_share: 1, max_quarantined_rows: 1000}
"""


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "Email": f"p{number}@example.com",
        "FirstName": f"Name{number}",
        "Phone": "415 555 2671",
        "Level": "G",
        "Interests": [1, 3],
        "Since": "2024-05-06T07:08:09",
        "Spend": number * 2.5,
        "Newsletter": "yes",
        **more,
    }


Shop = Callable[..., "Contacts"]


class Contacts:
    """The People table, its sync, and the account at the other end."""

    def __init__(self, world: World, rows: int, text: str = SYNC, **behaviour: Any) -> None:
        self.world = world
        if behaviour:
            world.activecampaign = ActiveCampaignSandbox(ActiveCampaignBehaviour(**behaviour), world.clock)
        world.caspio.create_table("People", PEOPLE)
        world.caspio.insert_rows("People", [row(number) for number in range(1, rows + 1)])
        world.sync(text, "contacts")

    @property
    def account(self) -> ActiveCampaignSandbox:
        return self.world.activecampaign

    def run(self, **options: Any) -> Any:
        self.world.clock.advance(HOUR)
        self.account.calls.clear()
        return self.world.ended("contacts", **options)

    def change(self, number: int, **values: Any) -> None:
        self.world.caspio.update_rows("People", values, f"FirstName='Name{number}'")

    def there(self, number: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.account.contacts()[f"p{number}@example.com"]
        return found

    def held(self, verdict: str) -> dict[str, str]:
        with self.world.ledger() as ledger:
            frame = ledger.quarantine("contacts", [verdict], limit=1000)
        return {str(each["key"]): each["reason"] for each in frame.iter_rows(named=True)}


@pytest.fixture
def shop(world: World) -> Shop:
    return lambda rows=3, text=SYNC, **behaviour: Contacts(world, rows, text, **behaviour)


def test_a_first_load_arrives_whole_by_few_calls(shop: Shop) -> None:
    contacts = shop(600)
    ended = contacts.run()
    assert (ended.code, len(contacts.account.contacts())) == (0, 600)
    assert contacts.there(1) == {
        "id": contacts.there(1)["id"],
        "firstName": "Name1",
        "phone": "+14155552671",
        "fields": {
            "Member Level": "Gold",
            "Interests": "||Yoga||Running||",
            "Since": "2024-05-06T07:08:09+00:00",
            "Spend": "2.5",
        },
        "lists": {"Newsletter": "1"},
        "tags": [],
        "automations": 0,  # it was a whole read, of people who may have been there for years
    }
    calls = contacts.account.calls
    assert (calls["POST import/bulk_import"], calls["GET import/info"]) == (3, 3)
    assert contacts.account.statuses[429] == 0


def test_the_fields_are_made_once_with_type_options_and_visibility(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    made = {each.title: each for each in contacts.account.store.fields.values()}
    assert {title: each.type for title, each in made.items()} == {
        "Member Level": "dropdown",
        "Interests": "listbox",
        "Since": "datetime",
        "Spend": "text",
    }
    assert list(made["Member Level"].options.values()) == ["Gold", "Silver"]
    assert all(list(each.rels.values()) == ["0"] for each in made.values())
    contacts.change(1, FirstName="Name1", Spend=1)
    contacts.run()
    assert contacts.account.calls["POST fields"] == 0


@pytest.mark.parametrize(("made_field", "titles_ignore_case"), [("object", True), ("list", False)])
def test_whatever_a_made_field_is_answered_with(shop: Shop, made_field: str, titles_ignore_case: bool) -> None:
    contacts = shop(made_field=made_field, titles_ignore_case=titles_ignore_case, totals="number")
    assert contacts.run().code == 0
    assert contacts.there(2)["fields"]["Member Level"] == "Gold"


def test_without_leave_nothing_is_made_and_the_run_says_what_is_missing(shop: Shop) -> None:
    contacts = shop(text=SYNC.replace("options: {create: true}\n", ""))
    ended = contacts.run()
    assert (ended.code, contacts.account.store.fields) == (2, {})
    assert (
        "contacts.yaml:5: ActiveCampaign lacks what the mapping needs (make the custom field Member Level"
        in ended.message
    )
    assert "options: {create: true}" in ended.message


def test_a_field_of_another_type_is_named_and_nothing_leaves(shop: Shop) -> None:
    contacts = shop()
    contacts.account.store.fields["77"] = _field("77", "Interests", "text")
    ended = contacts.run()
    assert (ended.code, contacts.account.contacts()) == (2, {})
    assert "contacts.yaml:9: fields.Interests: ActiveCampaign's field is of type text" in ended.message


def test_a_field_is_found_by_its_tag(shop: Shop) -> None:
    contacts = shop(text=SYNC.replace("  Spend: Spend", "  TOTAL_SPEND: Spend"))
    contacts.account.store.fields["77"] = _field("77", "How much", "text", "TOTAL_SPEND")
    assert contacts.run().code == 0
    assert contacts.there(2)["fields"]["How much"] == "5"


def test_one_field_under_two_names_is_a_finding(shop: Shop) -> None:
    contacts = shop(text=SYNC.replace("  Spend: Spend", "  How much: Spend\n  TOTAL_SPEND: FirstName"))
    contacts.account.store.fields["77"] = _field("77", "How much", "text", "TOTAL_SPEND")
    ended = contacts.run()
    assert (ended.code, contacts.account.contacts()) == (2, {})
    assert "contacts.yaml:12: fields.TOTAL_SPEND: is the same field there as 'How much'" in ended.message


def test_missing_options_are_added(shop: Shop) -> None:
    contacts = shop()
    field = contacts.account.store.fields["77"] = _field("77", "Member Level", "dropdown")
    field.options["1"] = "Gold"
    assert contacts.run().code == 0
    assert list(field.options.values()) == ["Gold", "Silver"]


def _field(number: str, title: str, kind: str, tag: str = "") -> Any:
    from caspio_sync.sandbox.activecampaign.store import CustomField

    return CustomField(number, title, kind, tag)


def test_a_run_without_changes_asks_the_account_for_nothing(shop: Shop) -> None:
    contacts = shop(5)
    contacts.run()
    assert contacts.run().code == 0
    assert sum(contacts.account.calls.values()) == 0


def test_few_changes_go_one_by_one_with_the_changed_fields_alone(shop: Shop) -> None:
    contacts = shop(30)
    contacts.run()
    contacts.account.store.contacts[contacts.there(4)["id"]].own["phone"] = "by hand"
    for number in (4, 5):
        contacts.change(number, Spend=99)
    assert contacts.run().code == 0
    assert (contacts.there(4)["fields"]["Spend"], contacts.there(4)["phone"]) == ("99", "by hand")
    assert contacts.account.calls["POST contact/sync"] == 2
    assert contacts.account.calls["POST import/bulk_import"] == 0
    assert contacts.there(4)["automations"] == 1  # what changes is what they wait for


def test_many_changes_go_by_an_import_on_which_automations_run(shop: Shop) -> None:
    contacts = shop(30)
    contacts.run()
    for number in range(1, 21):
        contacts.change(number, Spend=99)
    contacts.run()
    assert (contacts.account.calls["POST import/bulk_import"], contacts.account.calls["POST contact/sync"]) == (1, 0)
    assert [contacts.there(number)["automations"] for number in (1, 25)] == [1, 0]


def test_a_first_load_runs_automations_where_the_file_says_so(shop: Shop) -> None:
    contacts = shop(20, SYNC.replace("create: true", "create: true, automations: run"))
    contacts.run()
    assert contacts.there(3)["automations"] == 1


def test_a_resend_runs_no_automations(shop: Shop) -> None:
    contacts = shop(3)
    contacts.run()
    assert contacts.run(full=True, resend=True).code == 0
    assert contacts.there(1)["automations"] == 0


def test_the_rest_of_an_interrupted_first_load_runs_no_automations(shop: Shop) -> None:
    contacts = shop(1500, SYNC + "batch_size: 1000\n")
    contacts.world.break_activecampaign(
        Fault(kind="status", path="/api/3/import/bulk_import", status=500, nth=tuple(range(5, 500)))
    )
    assert contacts.run().code != 0
    there = len(contacts.account.contacts())
    assert 0 < there < 1500
    contacts.world.break_activecampaign()
    contacts.world.clock.advance(-HOUR / 2)
    assert contacts.run().code == 0
    assert len(contacts.account.contacts()) == 1500
    assert {each["automations"] for each in contacts.account.contacts().values()} == {0}


@pytest.mark.parametrize("options", [{"limit": 20}, {"pk_range": (1, 20)}, {"since": "2020-01-01T00:00:00Z"}])
def test_a_backfill_runs_no_automations(shop: Shop, options: dict[str, Any]) -> None:
    contacts = shop(20)
    assert contacts.run(**options).code == 0
    assert {each["automations"] for each in contacts.account.contacts().values()} == {0}


def test_what_a_webhook_announces_runs_automations_and_moves_contacts(shop: Shop) -> None:
    contacts = shop(3)
    hooked = Hooked(contacts.world)
    hooked.hook("People", "contacts")
    contacts.run()
    before = contacts.there(2)["id"]
    contacts.world.caspio.datasheet.insert("People", row(9))
    contacts.world.caspio.datasheet.update("People", {"Email": "new@example.com"}, "PK_ID=2")
    hooked.deliver()
    report = contacts.run(hints=True).report
    assert (report.read, report.sent) == (2, 2)
    assert contacts.there(9)["automations"] > 0
    assert contacts.account.contacts()["new@example.com"]["id"] == before


# Who a row is.


@pytest.mark.parametrize("step", ["record_sent", "close_batch"])
def test_an_address_that_changes_after_a_run_died_makes_no_second_contact(shop: Shop, step: str) -> None:
    contacts = shop(15)
    with killed_after(0, step):
        contacts.run()
    assert len(contacts.account.contacts()) == 15
    contacts.change(2, Email="new@example.com")
    assert contacts.run().code == 0
    there = contacts.account.contacts()
    assert (len(there), "new@example.com" in there, "p2@example.com" in there) == (15, True, False)
    with contacts.world.ledger() as ledger:
        assert ledger.moved_keys("contacts", 0, 1000).is_empty()


def test_an_erasure_reaches_whom_a_run_died_over(shop: Shop) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    with killed_after(0, "record_sent"):
        contacts.run()
    contacts.world.clock.advance(HOUR)
    contacts.change(2, Erase="yes")
    contacts.run()
    contacts.run()
    with contacts.world.ledger() as ledger:
        assert "p2@example.com" not in ledger.moved_keys("contacts", 0, 1000)["key"].to_list()
    assert "p2@example.com" not in contacts.account.contacts()


def test_a_changed_address_moves_the_contact(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    before = contacts.there(2)["id"]
    contacts.change(2, Email="new@example.com", Spend=7)
    assert contacts.run().code == 0
    there = contacts.account.contacts()
    assert there.keys() == {"p1@example.com", "new@example.com", "p3@example.com"}
    assert (there["new@example.com"]["id"], there["new@example.com"]["fields"]["Spend"]) == (before, "7")
    assert there["new@example.com"]["lists"] == {"Newsletter": "1"}


def test_a_row_that_was_held_since_its_address_changed_keeps_its_contact(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    before = contacts.there(2)["id"]
    contacts.change(2, Email="new@example.com", Phone="n/a")
    contacts.run()
    contacts.change(2, Email="newer@example.com")
    contacts.run()
    assert contacts.there(2)["id"] == before
    contacts.change(2, Phone="")
    assert contacts.run().code == 0
    there = contacts.account.contacts()
    assert there.keys() == {"p1@example.com", "newer@example.com", "p3@example.com"}
    assert there["newer@example.com"]["id"] == before
    contacts.change(2, Email="last@example.com")
    contacts.run()
    assert contacts.account.contacts()["last@example.com"]["id"] == before


def held_with_another_address(contacts: Contacts) -> str:
    """The second row has another address and is held for its phone; the id of its contact."""
    contacts.run()
    before = str(contacts.there(2)["id"])
    contacts.change(2, Email="new@example.com", Phone="n/a")
    contacts.run()
    return before


def first_names(contacts: Contacts) -> dict[str, str]:
    return {email: each["firstName"] for email, each in contacts.account.contacts().items()}


def test_an_address_that_another_row_has_by_now_is_not_moved_away_from_it(shop: Shop) -> None:
    contacts = shop()
    held_with_another_address(contacts)
    contacts.world.caspio.insert_rows("People", [row(9, Email="p2@example.com")])
    contacts.run()
    contacts.change(2, Phone="")
    contacts.run()
    everybody = {"p1@example.com": "Name1", "p2@example.com": "Name9", "p3@example.com": "Name3"}
    assert first_names(contacts) == everybody | {"new@example.com": "Name2"}


def test_an_address_is_free_before_another_row_gets_it(shop: Shop) -> None:
    contacts = shop()
    before = held_with_another_address(contacts)
    contacts.world.caspio.insert_rows("People", [row(9, Email="p2@example.com")])
    contacts.change(2, Phone="")
    contacts.world.break_activecampaign(Fault(kind="status", path="/api/3/contacts/", method="PUT", nth=(1,)))
    contacts.run()
    everybody = {"p1@example.com": "Name1", "p2@example.com": "Name9", "p3@example.com": "Name3"}
    assert first_names(contacts) == everybody | {"new@example.com": "Name2"}
    assert contacts.account.contacts()["new@example.com"]["id"] == before


def test_addresses_that_go_round_leave_each_row_its_own(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    contacts.change(1, Email="p2@example.com")
    contacts.change(2, Email="p3@example.com")
    contacts.change(3, Email="other@example.com")
    contacts.run()
    there = first_names(contacts)
    assert {email: there[email] for email in ("p2@example.com", "p3@example.com", "other@example.com")} == {
        "p2@example.com": "Name1",
        "p3@example.com": "Name2",
        "other@example.com": "Name3",
    }


@pytest.mark.parametrize("phone", ["", "n/a"])
def test_an_address_that_was_mistyped_and_corrected_is_the_contact_it_was(shop: Shop, phone: str) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    before = contacts.there(2)["id"]
    stranger = contacts.account.store.make("somebody.else@example.com", 0.0).id
    contacts.change(2, Email="somebody.else@example.com", Phone=phone)  # of a contact that the table does not have
    contacts.run()
    contacts.change(2, Email="p2@example.com", Phone="", Spend=7)
    assert contacts.run().code == 0
    assert (contacts.there(2)["id"], contacts.there(2)["fields"]["Spend"]) == (before, "7")
    contacts.change(2, Erase="yes")
    contacts.run()
    there = contacts.account.contacts()
    assert there.keys() == {"p1@example.com", "p3@example.com", "somebody.else@example.com"}
    assert there["somebody.else@example.com"]["id"] == stranger


def test_who_is_erased_while_a_changed_address_is_held_is_gone_there(shop: Shop) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    contacts.change(2, Email="new@example.com", Phone="n/a")
    contacts.run()
    contacts.change(2, Erase="yes")
    contacts.run()
    assert contacts.account.contacts().keys() == {"p1@example.com", "p3@example.com"}


def test_a_move_whose_answer_was_lost_makes_no_second_contact(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    contacts.change(2, Email="new@example.com")
    contacts.world.break_activecampaign(Fault(kind="reset_after", path="/api/3/contacts/", method="PUT", nth=(1,)))
    assert contacts.run().code == 0
    assert contacts.account.contacts().keys() == {"p1@example.com", "new@example.com", "p3@example.com"}


def test_an_address_that_is_another_contacts_is_told_with_both(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    other = contacts.account.store.make("taken@example.com", 0.0).id
    contacts.change(2, Email="taken@example.com")
    contacts.run()
    (reason,) = contacts.held("rejected").values()
    assert contacts.there(2)["id"] in reason
    assert other in reason
    assert "taken@example.com" not in reason


def test_a_contact_that_was_deleted_by_hand_is_made_anew(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    del contacts.account.store.contacts[contacts.there(2)["id"]]
    contacts.change(2, Email="new@example.com")
    assert contacts.run().code == 0
    assert contacts.account.contacts()["new@example.com"]["fields"]["Spend"] == "5"


def test_addresses_that_differ_by_case_and_blanks_are_one_contact(shop: Shop) -> None:
    contacts = shop(1)
    contacts.world.caspio.insert_rows("People", [row(2, Email=" P1@Example.com ")])
    contacts.run()
    assert list(contacts.account.contacts()) == ["p1@example.com"]
    assert len(contacts.held("quarantined")) == 1


@pytest.mark.parametrize("no_match", ["empty", "missing"])
def test_an_empty_search_is_nobody_however_it_is_told(shop: Shop, no_match: str) -> None:
    contacts = shop(no_match=no_match, forbidden_at=frozenset({1}))
    contacts.run()
    contacts.account.store.contacts.clear()
    contacts.change(2, Email="new@example.com")
    assert contacts.run().code == 0
    assert "new@example.com" in contacts.account.contacts()


# Consent.


@pytest.mark.parametrize("status", ["2", "3", "0", "91"])
@pytest.mark.parametrize("membership_status", [200, 201])
def test_who_left_there_is_never_subscribed_again(shop: Shop, status: str, membership_status: int) -> None:
    contacts = shop(2, membership_status=membership_status)
    contacts.change(1, Newsletter="no")
    contacts.run()
    assert [contacts.there(number)["lists"] for number in (1, 2)] == [{"Newsletter": "2"}, {"Newsletter": "1"}]
    contacts.account.set_status("p1@example.com", "Newsletter", status)
    contacts.change(1, Newsletter="yes", Spend=50)
    ended = contacts.run()
    assert contacts.there(1)["lists"] == {"Newsletter": status}
    assert contacts.there(1)["fields"]["Spend"] == "50"  # the rest of the row goes on
    assert contacts.world.verdicts("contacts") == {"sent": 2}
    (note,) = ended.report.notes
    assert "were not subscribed to Newsletter again: who " in note


def test_by_an_import_nobody_is_subscribed_again_either(shop: Shop) -> None:
    contacts = shop(20)
    for number in range(1, 21):
        contacts.change(number, Newsletter="no")
    contacts.run()
    for number in range(1, 21):
        contacts.change(number, Newsletter="yes")
    contacts.run()
    assert {contacts.there(number)["lists"]["Newsletter"] for number in range(1, 21)} == {"2"}


def test_opt_outs_leave_before_everything_else(shop: Shop) -> None:
    contacts = shop(3)
    contacts.run()
    contacts.change(1, Newsletter="no", Spend=1)
    seen: list[str] = []
    sound = contacts.account.app

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        seen.append(f"{scope['method']} {scope['path']}")
        await sound(scope, receive, send)

    contacts.account.app = watching  # type: ignore[method-assign]
    contacts.run()
    writes = [each for each in seen if each.startswith("POST")]
    assert writes[0] == "POST /api/3/contactLists"
    assert contacts.there(1)["lists"] == {"Newsletter": "2"}


def test_many_opt_outs_leave_by_an_import_before_the_rest(shop: Shop) -> None:
    contacts = shop(20)
    contacts.run()
    for number in range(1, 21):
        contacts.change(number, Newsletter="no", Spend=1)
    ended = contacts.run()
    assert (ended.code, ended.report.opt_outs) == (0, 20)
    assert {contacts.there(number)["lists"]["Newsletter"] for number in range(1, 21)} == {"2"}
    assert {contacts.there(number)["fields"]["Spend"] for number in range(1, 21)} == {"1"}
    assert (contacts.account.calls["POST import/bulk_import"], contacts.account.calls["POST contactLists"]) == (2, 0)


def test_an_opt_out_that_an_import_refuses_leaves_alone(shop: Shop) -> None:
    contacts = shop(20)
    contacts.run()
    contacts.account.behaviour.excluded = frozenset({"p5@example.com"})
    for number in range(1, 21):
        contacts.change(number, Newsletter="no")
    assert contacts.run().code == 0
    assert {contacts.there(number)["lists"]["Newsletter"] for number in range(1, 21)} == {"2"}
    assert contacts.world.verdicts("contacts") == {"sent": 20}


@pytest.mark.parametrize("import_ends", ["failed", "never"])
def test_opt_outs_leave_though_imports_are_stuck(shop: Shop, import_ends: Any) -> None:
    contacts = shop(20)
    contacts.run()
    contacts.account.behaviour.import_ends = import_ends
    for number in range(1, 21):
        contacts.change(number, Newsletter="no")
    contacts.run()
    assert {contacts.there(number)["lists"]["Newsletter"] for number in range(1, 21)} == {"2"}
    assert contacts.world.verdicts("contacts") == {"sent": 20}


def test_who_left_while_the_answer_to_a_subscription_was_lost_stays_off_the_list(shop: Shop) -> None:
    contacts = shop(2)
    contacts.change(1, Newsletter="")
    contacts.run()
    contacts.change(1, Newsletter="yes")
    sound = contacts.account.app

    async def leaving(scope: Any, receive: Any, send: Any) -> None:
        await sound(scope, receive, send)
        if scope["path"] == "/api/3/contactLists" and contacts.there(1)["lists"] == {"Newsletter": "1"}:
            contacts.account.set_status("p1@example.com", "Newsletter", "2")

    contacts.account.app = leaving  # type: ignore[method-assign]
    contacts.world.break_activecampaign(Fault(kind="reset_after", path="/api/3/contactLists", method="POST", nth=(1,)))
    assert contacts.run().code == 0
    assert contacts.account.calls["POST contactLists"] == 1
    assert contacts.there(1)["lists"] == {"Newsletter": "2"}


def test_an_opt_out_of_a_held_row_leaves_and_makes_nobody(shop: Shop) -> None:
    contacts = shop(2)
    contacts.run()
    contacts.change(1, Newsletter="no", Phone="n/a")
    contacts.world.caspio.insert_rows("People", [row(9, Newsletter="no", Phone="n/a")])
    contacts.run()
    assert contacts.there(1)["lists"] == {"Newsletter": "2"}
    assert "p9@example.com" not in contacts.account.contacts()
    assert contacts.held("quarantined").keys() == {"p1@example.com", "p9@example.com"}


def test_an_opt_out_of_a_held_row_that_moved_reaches_the_contact_it_had(shop: Shop) -> None:
    contacts = shop(2)
    contacts.run()
    contacts.change(1, Newsletter="no", Phone="n/a", Email="new@example.com")
    contacts.run()
    assert contacts.there(1)["lists"] == {"Newsletter": "2"}


def test_a_row_without_a_required_state_stays(shop: Shop) -> None:
    contacts = shop(2, SYNC.replace("no: unsubscribed}}", "no: unsubscribed}, required: true}"))
    contacts.change(1, Newsletter="")
    contacts.run()
    assert list(contacts.account.contacts()) == ["p2@example.com"]
    assert "lists.Newsletter has no state" in contacts.held("blocked")["p1@example.com"]


def test_a_list_that_is_not_there_is_named(shop: Shop) -> None:
    contacts = shop(lists={"31": "Letters"})
    ended = contacts.run()
    assert (ended.code, contacts.account.contacts()) == (2, {})
    assert "contacts.yaml:13: lists: ActiveCampaign has no list named 'Newsletter'" in ended.message
    assert "'Letters'" in ended.message


def test_a_list_that_was_deleted_while_it_was_written_to_refuses_alone(shop: Shop) -> None:
    contacts = shop(2)
    contacts.run()
    contacts.change(1, Newsletter="no")
    contacts.account.store.lists.clear()
    assert contacts.run().code == 2


# Trouble.


@pytest.mark.parametrize("import_index", [0, 1])
def test_one_contact_that_is_not_taken_is_found_in_a_whole_import(shop: Shop, import_index: int) -> None:
    contacts = shop(40, import_index=import_index, excluded=frozenset({"p17@example.com"}))
    ended = contacts.run()
    assert ended.report is not None
    assert (contacts.world.verdicts("contacts"), len(contacts.account.contacts())) == ({"sent": 39, "rejected": 1}, 39)
    assert "refused" in contacts.held("rejected")["p17@example.com"]


@pytest.mark.parametrize(("import_ends", "word"), [("failed", "ended as 'failed'"), ("never", "not settled after")])
def test_rows_of_a_lost_import_are_unknown_and_sent_again(shop: Shop, import_ends: str, word: str) -> None:
    contacts = shop(20, import_ends=import_ends)
    contacts.run()
    assert contacts.world.verdicts("contacts") == {"unknown": 20}
    assert all(word in each for each in contacts.held("unknown").values())
    sound = ActiveCampaignSandbox(clock=contacts.world.clock)
    contacts.world.activecampaign = sound
    assert contacts.run().code == 0
    assert (contacts.world.verdicts("contacts"), len(sound.contacts())) == ({"sent": 20}, 20)


def test_imports_that_are_throttled_with_400_wait(shop: Shop) -> None:
    contacts = shop(1200, imports_a_minute=2, import_order="reversed", import_seconds=3)
    assert contacts.run().code == 0
    assert contacts.world.verdicts("contacts") == {"sent": 1200}


def test_a_strict_account_refuses_a_choice_that_is_none(shop: Shop) -> None:
    contacts = shop(3, options="strict")
    contacts.account.store.fields["77"] = _field("77", "Interests", "listbox")
    contacts.account.store.fields["77"].options |= {"1": "Yoga", "2": "Running"}
    contacts.run()
    contacts.change(1, Interests=[2])
    contacts.run()
    assert "The option does not exist" in contacts.held("rejected")["p1@example.com"]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_what_passes_by_itself_is_tried_again(shop: Shop, status: int) -> None:
    contacts = shop(20, updated_status=201)
    contacts.world.break_activecampaign(Fault(kind="status", path="/api/3/import", status=status, nth=(1, 2)))
    assert contacts.run().code == 0
    assert contacts.world.verdicts("contacts") == {"sent": 20}


def test_a_page_under_200_is_no_success(shop: Shop) -> None:
    contacts = shop(3, bad_key="page", keys=frozenset({"another"}))
    ended = contacts.run()
    assert (ended.code, contacts.world.verdicts("contacts")) == (4, {})
    assert "ACTIVECAMPAIGN_KEY" in ended.message


@pytest.mark.parametrize(("behaviour", "word"), [({"keys": ["x"]}, "403"), ({"account_active": False}, "402")])
def test_a_key_that_is_not_taken_ends_the_run_at_once(shop: Shop, behaviour: dict[str, Any], word: str) -> None:
    contacts = shop(3, **behaviour)
    ended = contacts.run()
    assert ended.code == 2
    assert word in ended.message


def test_two_runs_of_two_syncs_keep_the_accounts_pace(shop: Shop) -> None:
    contacts = shop(500)
    contacts.run()
    assert contacts.account.statuses[429] == 0


def test_too_many_calls_of_others_are_waited_for(shop: Shop) -> None:
    contacts = shop(20, calls_per_second=2, retry_after=3)
    assert contacts.run().code == 0
    assert contacts.world.verdicts("contacts") == {"sent": 20}


def test_no_address_and_no_key_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    contacts = shop(3, excluded=frozenset({"p2@example.com"}))
    ended = contacts.run()
    told = f"{caplog.text} {ended.report.model_dump_json()}"
    assert "sandbox-activecampaign-key" not in told
    assert "p2@example.com" not in told


# The other commands.


def test_a_plan_tells_calls_and_minutes_and_what_is_made_first(shop: Shop) -> None:
    contacts = shop(1000)
    plan = contacts.world.plan("contacts", show=1)
    assert (plan.to_send, plan.calls, plan.seconds) == (1000, 8, 2.0)
    assert plan.first[0] == "make the custom field Member Level (dropdown: Gold, Silver)"
    assert plan.samples[0]["email"] == "p1@example.com"
    assert (contacts.account.contacts(), contacts.account.store.fields) == ({}, {})


def test_an_erased_person_is_gone_and_does_not_come_back(shop: Shop) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    contacts.change(2, Erase="yes")
    ended = contacts.run()
    assert ended.report.erased == 1
    assert contacts.account.contacts().keys() == {"p1@example.com", "p3@example.com"}
    contacts.change(2, Spend=1)
    contacts.run()
    assert contacts.account.contacts().keys() == {"p1@example.com", "p3@example.com"}


def test_deletions_beyond_the_monthly_limit_are_told(shop: Shop) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n", deletes_a_month=0)
    contacts.run()
    contacts.change(2, Erase="yes")
    ended = contacts.run()
    assert any("monthly limit" in note for note in ended.report.notes)
    assert len(contacts.account.contacts()) == 3


def test_a_file_that_asks_for_what_is_not_built_is_refused_with_its_line(shop: Shop) -> None:
    contacts = shop()
    for more, word in (
        ("tags: {from: Interests}\n", "needs `prefix` beside it"),
        ("both: {Phone: phone}\n", "`both` is not built yet"),
        ("consent: {email_subscribe: Newsletter}\n", "states are told under: lists"),
    ):
        contacts.world.sync(SYNC + more, "contacts")
        with pytest.raises(ConfigurationError) as error:
            load_sync(current_settings().sync_file("contacts"))
        assert "contacts.yaml:16: " in str(error.value)
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("{email: Email}", "{external_id: Email}", "does not know anybody by `external_id`; write `email`"),
        ("{email: Email}", "{email: Email, on_new: update_only}", "cannot `update_only`"),
        ("  Spend: Spend", "  first_name: Spend", "the contact's own is spelled 'firstName'"),
        ("  Spend: Spend", "  Spend: {object: {a: Spend}}", "takes no objects"),
        ("  Spend: Spend", "  'A, B': Spend", "holds a comma"),
        ("{from: Newsletter, map: {yes: subscribed, no: unsubscribed}}", '{when: "Spend >"}', "ends where a value"),
        ("{from: Newsletter, map: {yes", '{when: "Spend > 1", map: {yes', "unknown key"),
    ],
)
def test_what_a_contact_cannot_be_is_a_finding(shop: Shop, old: str, new: str, word: str) -> None:
    contacts = shop(text=SYNC.replace(old, new))
    with pytest.raises(ConfigurationError) as error:
        load_sync(current_settings().sync_file("contacts"))
    assert word in str(error.value)
    assert contacts.account.contacts() == {}


def test_a_value_that_would_be_read_as_several_is_held(shop: Shop) -> None:
    contacts = shop(
        2,
        SYNC.replace("  Spend: Spend", "  Spend: Level").replace("  Member", "  Other").replace("type: dropdown, ", ""),
    )
    contacts.change(1, Level="a||b")
    contacts.run()
    assert contacts.held("quarantined").keys() == {"p1@example.com"}


def test_what_was_sent_is_verified_and_what_differs_is_repaired(shop: Shop) -> None:
    contacts = shop(4)
    contacts.run()
    contacts.world.clock.advance(HOUR)
    assert (verified(contacts).equal, verified(contacts).fields) == (4, 28)
    store = contacts.account.store
    store.contacts[contacts.there(1)["id"]].values.clear()
    del store.contacts[contacts.there(2)["id"]]
    contacts.account.set_status("p3@example.com", "Newsletter", "2")
    report = verified(contacts)
    assert (report.equal, report.differing, report.missing) == (1, 2, 1)
    kept = {each.field: (each.rows, each.kept) for each in report.differences}
    assert kept["lists.Newsletter"] == (1, 1)  # they left there: told, and left alone
    contacts.run()
    assert contacts.there(1)["fields"]["Interests"] == "||Yoga||Running||"
    assert contacts.there(2)["lists"] == {"Newsletter": "1"}
    assert contacts.there(3)["lists"] == {"Newsletter": "2"}


def verified(contacts: Contacts) -> Any:
    import asyncio

    from caspio_sync.verification.verifying import verify

    return asyncio.run(verify("contacts", settings=current_settings("contacts"), restart=True))


def test_a_move_that_was_refused_is_released_by_hand(shop: Shop) -> None:
    contacts = shop(3)
    contacts.run()
    contacts.account.store.make("taken@example.com", 0.0)
    contacts.change(2, Email="taken@example.com")
    contacts.run()
    del contacts.account.store.contacts[contacts.account.contacts()["taken@example.com"]["id"]]
    before = contacts.there(2)["id"]
    contacts.run(release=("rejected",))
    assert contacts.account.contacts()["taken@example.com"]["id"] == before


def test_a_filled_account_is_taken_over_without_a_call(shop: Shop) -> None:
    contacts = shop(3)
    assert contacts.run(baseline=True).code == 0
    assert (contacts.account.contacts(), sum(contacts.account.calls.values())) == ({}, 0)
    assert contacts.world.verdicts("contacts") == {"sent": 3}


def test_the_keys_of_another_account_are_noticed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts = shop(3, keys=frozenset({"sandbox-activecampaign-key", "a-new-key-of-the-same"}))
    contacts.run()
    monkeypatch.setenv("ACTIVECAMPAIGN_KEY", "a-new-key-of-the-same")
    assert contacts.run().code == 0
    contacts.account.store.contacts.clear()
    monkeypatch.setenv("ACTIVECAMPAIGN_KEY", "sandbox-activecampaign-key")
    ended = contacts.run()
    assert ended.code == 2
    assert "finds 0 of the 3" in ended.message

"""Profiles to ActiveCampaign, from table to account and back: what arrives, and what it costs."""

import logging
from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.contacts import HOUR, SYNC, Shop, row, shop, verified
from tests.flows.hooked import Hooked

__all__ = ["shop"]


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

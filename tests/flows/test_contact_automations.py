"""Enrolments: who enters an automation, and that nobody does a second time, whatever is lost, killed or sent again."""

import contextlib
import random
from typing import Any

import pytest

from caspio_sync.cli.plan_markdown import plan_markdown
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.sandbox.activecampaign.calls import RefusedError
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.contacts import HOUR, SYNC, Contacts, Shop, row, shop
from tests.flows.hooked import Hooked
from tests.flows.killing import killed_after

__all__ = ["shop"]

ENROLS = SYNC.replace("lists:\n", "automations:\n  Welcome: {enrol_when: \"Level = 's'\", once: true}\nlists:\n")
ENROL = "/api/3/contactAutomations"
ONCE = {"Welcome": 1}


def entered(contacts: Contacts) -> dict[str, dict[str, int]]:
    """Who entered what, how often, by the first part of the address."""
    return {email.split("@")[0]: times for email, times in contacts.account.enrolments().items()}


def adds(contacts: Contacts, number: int, **more: Any) -> None:
    contacts.world.caspio.insert_rows("People", [row(number, **more)])


def soon(contacts: Contacts, seconds: float) -> Any:
    """A run after some seconds, of what changed, and what is open."""
    contacts.world.clock.advance(seconds)
    return contacts.world.ended("contacts")


def test_who_meets_the_condition_now_and_did_not_before_enters_once(shop: Shop) -> None:
    contacts = shop(5, ENROLS)
    contacts.run()
    contacts.change(2, Level="s")
    adds(contacts, 8, Level="s")
    adds(contacts, 9, Level="g")
    assert contacts.run().code == 0
    assert entered(contacts) == {"p2": ONCE, "p8": ONCE}
    contacts.account.calls.clear()
    for level in ("g", "s"):
        contacts.change(2, Level=level)
        assert contacts.run().code == 0
    assert entered(contacts) == {"p2": ONCE, "p8": ONCE}
    assert contacts.account.calls["POST contactAutomations"] == 0


def test_a_first_load_enrols_nobody_and_what_turns_later_does(shop: Shop) -> None:
    contacts = shop(4, ENROLS)
    contacts.change(1, Level="s")
    contacts.run()
    assert entered(contacts) == {}
    contacts.change(1, FirstName="Name1", Spend=7)
    contacts.run()
    assert entered(contacts) == {}  # it meets the condition since before
    contacts.change(1, Level="g")
    contacts.run()
    contacts.change(1, Level="s")
    contacts.run()
    assert entered(contacts) == {"p1": ONCE}


def test_a_first_load_enrols_where_the_file_says_so(shop: Shop) -> None:
    contacts = shop(4, ENROLS.replace("create: true", "create: true, automations: run"))
    contacts.change(1, Level="s")
    contacts.change(3, Level="s")
    assert contacts.world.plan("contacts").enrolled == {"Welcome": 2}
    contacts.run()
    assert entered(contacts) == {"p1": ONCE, "p3": ONCE}
    assert contacts.run(full=True, resend=True).code == 0
    assert entered(contacts) == {"p1": ONCE, "p3": ONCE}


def test_an_automation_that_comes_into_the_file_enrols_nobody_who_met_it_before(shop: Shop) -> None:
    contacts = shop(4)
    contacts.change(1, Level="s")
    contacts.run()
    contacts.world.sync(ENROLS, "contacts")
    assert contacts.run().code == 0
    assert entered(contacts) == {}
    contacts.change(2, Level="s")
    contacts.run()
    assert entered(contacts) == {"p2": ONCE}


@pytest.mark.parametrize(
    "options", [{"full": True, "resend": True}, {"pk_range": (1, 9)}, {"since": "2020-01-01T00:00:00Z"}]
)
def test_what_is_brought_again_enrols_nobody(shop: Shop, options: dict[str, Any]) -> None:
    contacts = shop(4, ENROLS)
    contacts.run()
    contacts.change(1, Level="s")
    adds(contacts, 8, Level="s")
    assert contacts.run(**options).code == 0
    assert entered(contacts) == {}


def test_what_a_webhook_announces_enrols(shop: Shop) -> None:
    contacts = shop(3, ENROLS)
    hooked = Hooked(contacts.world)
    hooked.hook("People", "contacts")
    contacts.run()
    contacts.world.caspio.datasheet.insert("People", row(9, Level="s"))
    contacts.world.caspio.datasheet.update("People", {"Level": "s"}, "PK_ID=2")
    hooked.deliver()
    assert contacts.run(hints=True).report.sent == 2
    assert entered(contacts) == {"p2": ONCE, "p9": ONCE}


def test_many_who_enter_and_others_beside_them(shop: Shop) -> None:
    contacts = shop(40, ENROLS)
    contacts.run()
    for number in range(1, 31):
        contacts.change(number, **({"Level": "s"} if number <= 12 else {"Spend": 1000 + number}))
    made = contacts.world.plan("contacts")
    assert made.enrolled == {"Welcome": 12}
    assert "12 people would enter the automation Welcome" in plan_markdown(made)
    assert contacts.run().code == 0
    assert entered(contacts) == {f"p{number}": ONCE for number in range(1, 13)}
    calls = contacts.account.calls
    assert calls["POST import/bulk_import"] == 1  # of those who enter nothing
    assert (calls["GET contacts/*/automationEntryCounts"], calls["POST contactAutomations"]) == (12, 12)
    assert sum(calls.values()) <= (made.calls or 0) + 4  # fields, lists, automations are read once a run


def test_who_was_enrolled_by_others_is_not_enrolled_again(shop: Shop) -> None:
    contacts = shop(3, ENROLS, multientry=True)
    contacts.run()
    store = contacts.account.store
    store.enrol(store.contacts[contacts.there(1)["id"]], "21", contacts.world.clock.now().timestamp())
    contacts.change(1, Level="s")
    assert contacts.run().report.verdicts == {"sent": 1}
    assert entered(contacts) == {"p1": ONCE}


def test_a_contact_that_was_deleted_by_hand_does_not_enter_again(shop: Shop) -> None:
    contacts = shop(3, ENROLS)
    contacts.run()
    contacts.change(1, Level="s")
    contacts.run()
    contacts.account.store.forget(contacts.there(1)["id"])
    contacts.change(1, Level="g")
    contacts.run()
    contacts.change(1, Level="s")
    assert contacts.run().code == 0
    assert entered(contacts) == {}  # of the contact that is there now


def test_a_changed_address_is_no_reason_to_enter_again(shop: Shop) -> None:
    contacts = shop(3, ENROLS, multientry=True)
    contacts.change(2, Level="s")
    contacts.run()  # the first load
    contacts.change(1, Level="s")
    contacts.run()
    for number in (1, 2):
        contacts.change(number, Email=f"new{number}@example.com")
    assert contacts.run().code == 0
    assert entered(contacts) == {"new1": ONCE}
    contacts.account.store.forget(contacts.account.contacts()["new1@example.com"]["id"])
    contacts.change(1, Level="g")
    contacts.run()
    contacts.change(1, Level="s")
    contacts.run()
    assert entered(contacts) == {}  # the ledger knows it under its new address
    adds(contacts, 9, Email="p1@example.com", Level="s")  # somebody else has the former one now
    contacts.run()
    assert entered(contacts) == {"p1": ONCE}


@pytest.mark.parametrize("multientry", [False, True])
@pytest.mark.parametrize("kind", ["reset_after", "truncate"])
def test_a_lost_answer_is_looked_for_and_nobody_enters_twice(shop: Shop, multientry: bool, kind: Any) -> None:
    contacts = shop(3, ENROLS, multientry=multientry)
    contacts.run()
    contacts.change(1, Level="s")
    contacts.world.break_activecampaign(Fault(kind=kind, path=ENROL, nth=(1,)))
    assert contacts.run().report.verdicts == {"unknown": 1}
    contacts.world.break_activecampaign()
    assert soon(contacts, 60.0).report.verdicts == {"sent": 1}
    assert entered(contacts) == {"p1": ONCE}


def test_a_request_that_is_still_under_way_is_waited_for(shop: Shop) -> None:
    """The call is given up, is not there a minute later, and is taken all the same."""
    contacts = shop(3, ENROLS, multientry=True)
    contacts.run()
    contacts.change(1, Level="s")
    contacts.world.break_activecampaign(Fault(kind="status", status=504, path=ENROL, method="POST"))
    assert contacts.run().report.verdicts == {"unknown": 1}
    contacts.world.break_activecampaign()
    assert soon(contacts, 60.0).report.verdicts == {"unknown": 1}
    assert entered(contacts) == {}
    store = contacts.account.store
    store.enrol(store.contacts[contacts.there(1)["id"]], "21", contacts.world.clock.now().timestamp())
    assert soon(contacts, 300.0).report.verdicts == {"sent": 1}
    assert entered(contacts) == {"p1": ONCE}


def test_what_surely_did_not_arrive_is_sent_after_five_minutes_at_the_latest(shop: Shop) -> None:
    contacts = shop(3, ENROLS)
    contacts.run()
    contacts.change(1, Level="s")
    contacts.world.break_activecampaign(Fault(kind="status", status=504, path=ENROL, method="POST"))
    contacts.run()
    contacts.world.break_activecampaign()
    assert soon(contacts, 301.0).report.verdicts == {"sent": 1}
    assert entered(contacts) == {"p1": ONCE}


@pytest.mark.parametrize("step", ["note_enrolments", "record_enrolments", "record_sent", "close_batch"])
def test_a_run_that_dies_anywhere_enrols_nobody_twice(shop: Shop, step: str) -> None:
    contacts = shop(3, ENROLS, multientry=True)
    contacts.run()
    contacts.change(1, Level="s")
    adds(contacts, 8, Level="s")
    with killed_after(0, step):
        contacts.run()
    for _ in range(3):
        contacts.world.clock.advance(400.0)
        contacts.run()
    assert entered(contacts) == {"p1": ONCE, "p8": ONCE}
    assert contacts.held("unknown") == {}


def test_an_answer_of_somebody_else_is_none(shop: Shop) -> None:
    contacts = shop(3, ENROLS)
    contacts.run()
    contacts.change(1, Level="s")
    contacts.world.break_activecampaign(Fault(kind="foreign", body='{"ok": true}', path=ENROL))
    assert contacts.run().report.verdicts == {"unknown": 1}
    contacts.world.break_activecampaign()
    assert soon(contacts, 400.0).report.verdicts == {"sent": 1}
    assert entered(contacts) == {"p1": ONCE}


@pytest.mark.parametrize("inactive_status", ["2", "0"])
def test_an_automation_that_is_switched_off_or_not_there_ends_the_run(shop: Shop, inactive_status: str) -> None:
    contacts = shop(3, ENROLS, inactive_automations=frozenset({"21"}), inactive_status=inactive_status)
    ended = contacts.run()
    assert (ended.code, contacts.account.contacts()) == (2, {})
    assert "contacts.yaml:13: the automation 'Welcome' is switched off in ActiveCampaign" in ended.message
    contacts.world.sync(ENROLS.replace("Welcome", "Welkom"), "contacts")
    assert "has no automation 'Welkom'; it has: Welcome, Win back" in contacts.run().message


def test_who_is_not_taken_is_told(shop: Shop) -> None:
    contacts = shop(3, ENROLS)
    contacts.run()
    contacts.change(1, Level="s")

    def refuses(*_: Any) -> str:
        raise RefusedError(403, {"message": "Could not create SubscriberSeries"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contacts.account.store, "enrol", refuses)
        assert contacts.run().report.verdicts == {"rejected": 1}
    assert contacts.held("rejected") == {
        "p1@example.com": "403: ActiveCampaign does not take it into the automation Welcome"
    }
    contacts.change(1, Spend=3)
    assert contacts.run().report.verdicts == {"sent": 1}
    assert entered(contacts) == {"p1": ONCE}


def test_a_plan_notes_nothing_and_verify_reads_nothing_of_it(shop: Shop) -> None:
    contacts = shop(3, ENROLS)
    contacts.run()
    contacts.change(1, Level="s")
    for _ in range(2):
        assert contacts.world.plan("contacts").enrolled == {"Welcome": 1}
    assert entered(contacts) == {}
    contacts.run()
    assert contacts.world.plan("contacts").enrolled == {}


def test_who_was_erased_is_forgotten(shop: Shop) -> None:
    contacts = shop(3, ENROLS + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    contacts.change(1, Level="s")
    contacts.run()
    with contacts.world.ledger() as ledger, ledger.reading("look") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM enrolment").scalar() == 1
    contacts.change(1, Erase="yes")
    contacts.run()
    with contacts.world.ledger() as ledger, ledger.reading("look") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM enrolment").scalar() == 0
    contacts.change(1, Erase="no", Level="g")
    contacts.run()
    contacts.change(1, Level="s")
    contacts.run()
    assert entered(contacts) == {}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_everybody_who_turned_entered_once(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    contacts = shop(8, ENROLS, multientry=True)
    contacts.run()
    turned: set[int] = set()
    for _ in range(8):
        number = chance.randint(1, 8)
        turned.add(number)
        contacts.change(number, Level="s", Spend=chance.randint(1, 10**6))
        faults = [
            Fault(kind=chance.choice(["reset_after", "reset_before", "truncate"]), path=path, probability=0.4)
            for path in (ENROL, "/api/3/contact/sync", "/api/3/contacts")
        ]
        contacts.world.break_activecampaign(*faults)
        if chance.random() < 0.5:
            step = chance.choice(["note_enrolments", "record_enrolments", "record_sent", "close_batch"])
            with contextlib.suppress(pytest.fail.Exception), killed_after(0, step):  # it may be over before
                contacts.run()
        else:
            contacts.run()
    contacts.world.break_activecampaign()
    for _ in range(3):
        contacts.world.clock.advance(HOUR)
        contacts.run()
    assert entered(contacts) == {f"p{number}": ONCE for number in turned}


def test_bad_files_are_refused_with_their_line(shop: Shop) -> None:
    contacts = shop(1, SYNC)
    for said, word in (
        ("{enrol_when: \"Level = 's'\", once: false}", "nobody is enrolled twice"),
        ("{once: true}", "enrol_when"),
        ('{enrol_when: "GETDATE() > Since"}', "is not understood"),
        ("{enrol_when: \"Level = 's'\", when: x}", "when"),
    ):
        contacts.world.sync(ENROLS.replace("{enrol_when: \"Level = 's'\", once: true}", said), "contacts")
        with pytest.raises(ConfigurationError, match=r"contacts\.yaml:1[23]") as error:
            load_sync(current_settings().sync_file("contacts"))
        assert word in str(error.value)


def test_who_was_in_many_automations_enters_none_again_where_their_counts_come_in_pages(shop: Shop) -> None:
    automations = {str(number): f"Series {number}" for number in range(100, 125)} | {"21": "Welcome"}
    contacts = shop(3, ENROLS, automations=automations, multientry=True, parts_in_pages=True)
    contacts.run()
    store = contacts.account.store
    for number in automations:
        store.enrol(store.contacts[contacts.there(2)["id"]], number, 0.0)
    contacts.change(2, Level="s")
    assert contacts.run().code == 0
    assert entered(contacts)["p2"]["Welcome"] == 1

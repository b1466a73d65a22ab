"""Lists of contacts: who left is never put on one again, and opt-outs leave before everything else."""

from typing import Any

import pytest

from caspio_sync.sandbox.faults import Fault
from tests.flows.contacts import SYNC, Shop, row, shop

__all__ = ["shop"]


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

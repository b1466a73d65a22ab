"""Rows nobody would wish for: each has a verdict a person can act on, and what is sound arrives as it was."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from caspio_sync.ledger.store import Ledger
from tests.flows.world import World


def test_of_two_rows_with_one_key_the_first_has_it_and_both_are_named(world: World) -> None:
    first, _, second, third = world.customers(
        [world.person(1), world.person(2), world.person(1, FirstName="Again"), world.person(3, CustomerNo=" C1 ")]
    )
    world.sync()
    ended = world.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 2, "quarantined": 2})
    assert world.profiles()["c1"]["first_name"] == "Name1"
    assert set(world.profiles()) == {"c1", "c2"}
    held = list(world.reasons().values())
    assert {f"PK_ID {second} claims the key of PK_ID {first}", f"PK_ID {third} claims the key of PK_ID {first}"} == {
        match[0] for text in held for match in [re.search(r"PK_ID \d+ claims the key of PK_ID \d+", text)] if match
    }


def test_a_key_claimed_in_another_batch_and_in_another_run_is_held(world: World) -> None:
    rows = [world.person(number) for number in range(1, 2501)]
    world.customers([*rows, world.person(7, FirstName="Later")])
    world.sync(world.SYNC + "batch_size: 1000\n")
    world.clock.advance(3600)
    report = world.run()
    # The fourth is the owner of the key, read once more: the later row might say "no".
    assert (report.batches, report.verdicts) == (4, {"sent": 2500, "quarantined": 1})
    world.clock.advance(3600)
    world.caspio.insert_rows("Customers", [world.person(9, FirstName="Last")])
    assert world.run().verdicts == {"quarantined": 1}
    assert world.profiles()["c9"]["first_name"] == "Name9"


def test_the_owner_of_a_key_keeps_it_when_it_changes_together_with_its_duplicate(world: World) -> None:
    people = [world.person(number) for number in range(1, 21)]
    world.customers([*people, *(world.person(number, FirstName="Again") for number in range(1, 21))])
    world.loose()
    assert world.run().verdicts == {"sent": 20, "quarantined": 20}
    world.clock.advance(3600)
    world.caspio.update_rows("Customers", {"Notes": "changed"}, "PK_ID > 0")
    assert world.run().verdicts == {"sent": 20, "quarantined": 20}
    assert all(profile["first_name"] != "Again" for profile in world.profiles().values())
    assert len(world.reasons()) == 20


def test_a_duplicate_is_sent_once_the_first_claimant_is_gone(world: World) -> None:
    world.customers([world.person(1), world.person(2), world.person(1, FirstName="Heir")])
    world.sync()
    assert world.run().verdicts == {"sent": 2, "quarantined": 1}
    world.caspio.delete_rows("Customers", "PK_ID = 1")
    world.clock.advance(3600)
    report = world.run(full=True)
    assert report.verdicts == {"sent": 1}
    assert world.profiles()["c1"]["first_name"] == "Heir"
    assert world.run(full=True).unchanged == 2


def test_a_duplicate_is_sent_once_the_first_claimant_bears_another_key(world: World) -> None:
    world.customers([world.person(1), world.person(2), world.person(1, FirstName="Heir")])
    world.sync()
    world.run()
    world.caspio.update_rows("Customers", {"CustomerNo": "c9"}, "PK_ID = 1")
    world.clock.advance(3600)
    report = world.run(full=True)
    assert report.verdicts == {"sent": 2}
    assert {key: each["first_name"] for key, each in world.profiles().items()} == {
        "c1": "Heir", "c2": "Name2", "c9": "Name1",
    }  # fmt: skip


def test_null_and_blank_keys_are_held_with_the_reason(world: World) -> None:
    world.customers([world.person(1), *(world.person(2, CustomerNo=key) for key in (None, "", "   ", "\u200b"))])
    world.sync()
    report = world.run()
    assert report.verdicts == {"sent": 1, "quarantined": 4}
    assert list(world.profiles()) == ["c1"]
    assert all("key: is empty" in text for text in world.reasons().values())


def test_a_key_over_987_bytes_is_held_and_one_of_987_is_sent(world: World) -> None:
    fields = [{**world.CUSTOMERS[0], "Type": "TEXT"}, *world.CUSTOMERS[1:]]
    fits, over = "é" * 493 + "x", "é" * 494
    world.customers([world.person(1, CustomerNo=fits), world.person(2, CustomerNo=over)], fields)
    world.sync()
    assert world.run().verdicts == {"sent": 1, "quarantined": 1}
    assert list(world.profiles()) == [fits]
    assert "is empty or over 987 bytes" in next(iter(world.reasons().values()))


DATES = """\
kind: profiles
source: {table: Customers, time_zone: Europe/London}
identity: {external_id: CustomerNo}
fields:
  dob: Born
  seen: Seen
  day: {from: Seen, type: date}
gate: {max_quarantined_share: 1, max_quarantined_rows: 1000}
"""


def test_dates_before_1900_and_in_the_future(world: World) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    born = ["1899-12-31", "1900-01-01", "1753-01-01", tomorrow, "9999-12-31", None]
    seen = ["1753-01-01T00:00:00", "1899-12-31T23:59:59", "2999-12-31T12:00:00", "9999-12-31T23:59:59"]
    rows = [
        *({"CustomerNo": f"b{place}", "Born": date, "Seen": None} for place, date in enumerate(born)),
        *({"CustomerNo": f"s{place}", "Born": None, "Seen": date} for place, date in enumerate(seen)),
    ]
    fields = [
        {"Name": "CustomerNo", "Type": "STRING"},
        {"Name": "Born", "Type": "DATE/TIME"},
        {"Name": "Seen", "Type": "DATE/TIME"},
    ]
    world.customers(rows, fields)
    world.sync(DATES)
    world.run()
    assert set(world.profiles()) == {"b1", "b5", "s0", "s1", "s2"}
    assert world.profiles()["b1"]["dob"] == "1900-01-01"
    held = world.reasons()
    assert set(held) == {"b0", "b2", "b3", "b4", "s3"}
    assert "dob: is no date between 1900 and today" in held["b0"]
    assert "is no time up to the year 3000" in held["s3"]
    assert world.profiles()["s1"]["custom_attributes"]["day"] == "1899-12-31"
    assert world.profiles()["s0"]["custom_attributes"]["seen"].startswith("1753-01-01T00:0")


NUMBERS = """\
kind: profiles
source: {table: Customers}
identity: {external_id: CustomerNo}
fields:
  whole: {from: Whole, type: integer}
  ratio: {from: Ratio, type: number}
  exact: Exact
gate: {max_quarantined_share: 1, max_quarantined_rows: 1000}
"""


def test_numbers_out_of_range_and_not_a_number(world: World) -> None:
    fields = [
        {"Name": "CustomerNo", "Type": "STRING"},
        {"Name": "Whole", "Type": "NUMBER"},
        {"Name": "Ratio", "Type": "STRING"},
        {"Name": "Exact", "Type": "INTEGER"},
    ]
    cells = {
        "limit": (2.0**53 - 1, "1e-300", 2**31 - 1),
        "low": (1 - 2.0**53, "-0.0", -(2**31)),
        "huge": (2.0**53, None, None),
        "great": (1e300, None, None),
        "half": (0.5, None, None),
        "nan": (None, "NaN", None),
        "inf": (None, "Infinity", None),
        "over": (None, "1e308", None),
        "word": (None, "twelve", None),
        "comma": (None, "1,5", None),
    }
    world.customers(
        [
            {"CustomerNo": key, "Whole": whole, "Ratio": ratio, "Exact": exact}
            for key, (whole, ratio, exact) in cells.items()
        ],
        fields,
    )
    world.sync(NUMBERS)
    world.run()
    assert set(world.profiles()) == {"limit", "low"}
    assert world.profiles()["limit"]["custom_attributes"] == {"whole": 2**53 - 1, "ratio": 1e-300, "exact": 2**31 - 1}
    held = world.reasons()
    assert all("whole: is no whole number below 2^53" in held[key] for key in ("huge", "great", "half"))
    assert all("ratio: is no number below 2^53" in held[key] for key in ("nan", "inf", "over", "word", "comma"))


def test_a_cell_that_is_not_of_its_fields_type_is_held_and_named(world: World) -> None:
    world.people(3)
    world.sync()
    inner = world.caspio.app

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def spoiled(message: Any) -> None:
            if message["type"] == "http.response.body":
                # As long as before: the length was announced.
                message = {**message, "body": message["body"].replace(b'"Spend":0.25', b'"Spend":"NA"')}
            await send(message)

        await inner(scope, receive, spoiled)

    world.caspio.app = app  # type: ignore[assignment]
    report = world.run()
    world.caspio.app = inner
    assert report.verdicts == {"sent": 2, "quarantined": 1}
    assert "spend: is no value of Caspio's type NUMBER" in world.reasons()["c1"]


def test_bad_consent_words_are_held_and_known_ones_are_read_without_case(world: World) -> None:
    world.customers(
        [world.person(1, Newsletter=" YES "), world.person(2, Newsletter="perhaps"), world.person(3, Newsletter="")]
    )
    world.sync()
    assert world.run().verdicts == {"sent": 2, "quarantined": 1}
    assert "email_subscribe: is no state the sync knows (yes, no, double)" in world.reasons()["c2"]


def test_rows_without_a_required_consent_are_blocked_with_the_reason(world: World) -> None:
    group = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
    world.customers([world.person(1), world.person(2, Newsletter="")])
    world.sync(
        world.SYNC.replace(
            "consent:",
            f"consent:\n  subscription_groups: [{{id: {group}, channel: email, from: Newsletter, map: {{yes: subscribed, no: unsubscribed}}}}]\n"
            f"  require: [{group}]",
        )
    )
    planned = world.plan()
    ended = world.ended(strict=True)
    assert ended.code == 5
    assert ended.report.verdicts == {"sent": 1, "blocked": 1} == {"sent": planned.to_send, **planned.report.verdicts}
    assert "consent required" in world.reasons("blocked")["c2"]


def test_a_sound_row_again_after_its_repair(world: World) -> None:
    world.customers([world.person(1), world.person(2, Email="no address")])
    world.sync()
    world.run()
    world.clock.advance(3600)
    world.caspio.update_rows("Customers", {"Email": "c2@example.com"}, "CustomerNo = 'c2'")
    assert world.run().verdicts == {"sent": 1}
    assert world.verdicts() == {"sent": 2}


def test_ledger_of_the_run_is_readable(world: World) -> None:
    world.people(2)
    world.sync()
    world.run()
    with world.ledger() as ledger:
        assert isinstance(ledger, Ledger)
        story = ledger.story("customers", "c1")
    assert story is not None

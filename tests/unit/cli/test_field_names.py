"""Fields named as words of SQL, and more of them than an address holds: read in brackets, in parts, or refused by line."""

from pathlib import Path
from typing import Any

import pytest

from caspio_sync.caspio.query import is_reserved
from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from tests.definitions import profiles
from tests.unit.cli.conftest import Shop

WORDS = ["From", "Where", "Null", "Order", "User", "Group"]
FIELDS: list[dict[str, Any]] = [
    {"Name": "Key", "Type": "STRING", "Unique": True},
    *({"Name": name, "Type": "STRING"} for name in WORDS),
    {"Name": "Current", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
SYNC = """\
kind: profiles
source:
  table: Words
  cursor: Current
  where: Active = 'yes'
identity:
  external_id: Key
fields:
  sent_from: "From"
  where_to: "Where"
  nothing: "Null"
"""


def words(shop: Shop, *, bracketed_names: bool = True) -> None:
    shop.caspio.close()
    shop.caspio = CaspioSandbox(CaspioBehaviour(bracketed_names=bracketed_names), clock=shop.caspio_clock)
    shop.caspio.create_table("Words", [*FIELDS, {"Name": "Active", "Type": "STRING"}])
    shop.caspio.insert_rows(
        "Words",
        [{"Key": f"k{row}", **{name: f"{name} {row}" for name in WORDS}, "Active": "yes"} for row in range(1, 8)],
    )


def errors(document: Any) -> list[str]:
    return [f"{each['what']} → {each['remedy']}" for each in document["findings"] if each["level"] == "error"]


def test_they_are_read_in_brackets_and_their_values_arrive(shop: Shop) -> None:
    assert all(is_reserved(name) for name in WORDS)
    words(shop)
    shop.write_sync(SYNC)
    document = shop.document("check", "customers")
    assert errors(document) == []
    assert any("in brackets, being words of SQL" in each["what"] for each in document["findings"])
    samples = shop.document("plan", "customers", "--show", "1")["samples"]
    (sample,) = samples
    assert (sample["external_id"], sample["sent_from"], sample["nothing"]) == ("k1", "From 1", "Null 1")


def test_rows_are_paged_by_one(shop: Shop) -> None:
    shop.caspio.create_table("Words", [*FIELDS[1:], {"Name": "Plan", "Type": "INTEGER", "Unique": True}])
    shop.caspio.insert_rows(
        "Words", [{"Plan": row * 7, "From": f"From {row}", "User": f"u{row}"} for row in range(1, 8)]
    )
    shop.caspio.create_view("Shown", "Words", ["User", "From", "Where", "Null", "Plan"])
    source = "  table: Words\n  cursor: Current\n  where: Active = 'yes'\n"
    paged = SYNC.replace(source, "  view: Shown\n  page_by: Plan\n")
    shop.write_sync(paged.replace("external_id: Key", "external_id: User"))
    document = shop.document("plan", "customers", "--show", "7")
    assert [each["sent_from"] for each in document["samples"]] == [f"From {row}" for row in range(1, 8)]


def test_the_brake_before_erasures_counts_by_one(shop: Shop) -> None:
    shop.caspio.create_table("Words", [*FIELDS, {"Name": "Plan", "Type": "INTEGER", "Unique": True}])
    shop.caspio.insert_rows("Words", [{"Key": f"k{row}", "Plan": row, "Null": ""} for row in range(1, 31)])
    shop.caspio.create_view("Shown", "Words", ["Key", "From", "Where", "Null", "Plan"])
    source = "  table: Words\n  cursor: Current\n  where: Active = 'yes'\n"
    paged = SYNC.replace(source, "  view: Shown\n  page_by: Plan\n")
    shop.write_sync(paged + 'erasure: {where: "[Null] IS NOT NULL"}\n')
    (error,) = errors(shop.document("check", "customers"))
    assert "erasure would take 100% of 30 rows in view Shown" in error


def test_where_caspio_takes_no_brackets_check_refuses_each_with_its_lines(shop: Shop) -> None:
    words(shop, bracketed_names=False)
    path = shop.write_sync(SYNC).relative_to(shop.folder)
    found = errors(shop.document("check", "customers"))
    assert any(each.startswith(f"{path}:9: From is a word of SQL") for each in found)
    assert any(each.startswith(f"{path}:7: Key is a word of SQL") for each in found)
    assert any(each.startswith(f"{path}:4: Current is a word of SQL") for each in found)
    assert all("rename" in each for each in found if "word of SQL" in each)


def test_a_condition_that_names_one_without_brackets_is_told_its_line(shop: Shop) -> None:
    words(shop)
    path = shop.write_sync(SYNC.replace("Active = 'yes'", "Order = 'from A'")).relative_to(shop.folder)
    (error,) = [each for each in errors(shop.document("check", "customers")) if "write [Order] there" in each]
    assert error.startswith(f"{path}:5: Order is a word of SQL")


def test_a_condition_that_is_wrong_for_another_reason_blames_no_field(shop: Shop) -> None:
    words(shop)
    shop.write_sync(SYNC.replace("Active = 'yes'", "Active = = 'yes'"))
    (error,) = errors(shop.document("check", "customers"))
    assert "word of SQL" not in error


@pytest.mark.parametrize("bracketed_names", [True, False])
def test_init_proposes_those_that_can_be_read(shop: Shop, bracketed_names: bool) -> None:
    shop.caspio.close()
    shop.caspio = CaspioSandbox(CaspioBehaviour(bracketed_names=bracketed_names), clock=shop.caspio_clock)
    fields = [{**each, "Name": "CustomerNo" if each["Name"] == "Key" else each["Name"]} for each in FIELDS]
    shop.caspio.create_table("Words", [*fields, {"Name": "FirstName", "Type": "STRING"}])
    shop.caspio.insert_rows("Words", [{"CustomerNo": "k1", "From": "x", "FirstName": "Ada"}])
    result = shop.run("init", "words", "--table", "Words")
    assert result.exit_code == 0, result.output
    mapped = {str(each.source_field) for each in profiles(Path("syncs/words.yaml").read_text()).fields.values()}
    assert ("From" in mapped) is bracketed_names
    assert ("left out, for Caspio does not take these words of SQL" in result.output) is not bracketed_names
    assert errors(shop.document("check", "words")) == []


def test_ninety_fields_of_26_characters_are_read(shop: Shop) -> None:
    names = [f"A_field_with_a_long_name_{number:02}" for number in range(90)]
    shop.caspio.create_table(
        "Wide",
        [{"Name": "No", "Type": "STRING", "Unique": True}, *({"Name": each, "Type": "STRING"} for each in names)],
    )
    shop.caspio.insert_rows("Wide", [{"No": f"n{row}", **{each: f"{each}={row}" for each in names}} for row in (1, 2)])
    fields = "".join(f"  f{place}: {name}\n" for place, name in enumerate(names))
    shop.write_sync(f"kind: profiles\nsource: {{table: Wide}}\nidentity: {{external_id: No}}\nfields:\n{fields}")
    assert errors(shop.document("check", "customers")) == []
    plan = shop.document("plan", "customers", "--show", "2")
    assert plan["calls_a_run"] == 3 + 3  # token, fields, count, and a page of two selections
    assert [each["external_id"] for each in plan["samples"]] == ["n1", "n2"]
    assert all(each[f"f{place}"].startswith(f"{name}=") for each in plan["samples"] for place, name in enumerate(names))

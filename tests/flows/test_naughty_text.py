"""Hostile and odd text arrives in Braze as it was, or is held; nobody is shown it."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.characters import trimmed
from tests.flows.world import World

DATA = Path(__file__).parents[1] / "data"
SANDBOX = Path(__file__).parents[2] / "src" / "caspio_sync" / "sandbox" / "data"


def corpora() -> list[str]:
    """Hostile and odd text of every kind; what a Caspio text field holds: no NUL, at most 255 characters."""
    naughty = json.loads((SANDBOX / "naughty-strings" / "blns.json").read_text(encoding="utf-8"))
    cut = json.loads((DATA / "naughty-strings" / "strings.json").read_text(encoding="utf-8"))
    unicode = json.loads((DATA / "unicode" / "samples.json").read_text(encoding="utf-8"))
    texts = [*naughty, *cut, *(text for samples in unicode.values() for text in samples)]
    # U+FFFE and its like are no characters; lone surrogates cannot be written at all.
    return [text for text in dict.fromkeys(texts) if "\0" not in text and len(text) <= 255]


def kept(text: str, *, trims: bool) -> str | None:
    """Text after the documented cleaning: no control characters but tab and line ends; blank text is no value."""
    clean = "".join(char for char in text if char in "\t\n\r" or unicodedata.category(char) != "Cc")
    return (trimmed(clean) if trims else clean) or None if trimmed(clean) else None


TEXT_FIELDS = ("FirstName", "LastName", "City", "Notes", "Nick")
TEXTS = """\
kind: profiles
source: {table: Customers}
identity: {external_id: CustomerNo}
fields:
  first_name: FirstName
  last_name: LastName
  home_city: City
  notes: Notes
  tags: {array: [Nick, City]}
  person:
    object: {nick: Nick, home: {object: {city: City}}}
  visits: {array: [{object: {kind: {constant: visit}, where: City}}]}
gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}
"""


@pytest.mark.parametrize("of_batch", [1, 2])
def test_naughty_and_unicode_text_arrives_in_braze_as_it_was(world: World, of_batch: int) -> None:
    texts = corpora()
    fields: list[dict[str, Any]] = [
        {"Name": "CustomerNo", "Type": "STRING"},
        *({"Name": name, "Type": "TEXT"} for name in TEXT_FIELDS),
    ]
    order = texts if of_batch == 1 else texts[::-1]
    world.customers(
        [{"CustomerNo": f"t{place}", **dict.fromkeys(TEXT_FIELDS, text)} for place, text in enumerate(order)], fields
    )
    world.sync(TEXTS)
    report = world.run()
    assert report.verdicts == {"sent": len(texts)}
    profiles = world.profiles()
    for place, text in enumerate(order):
        profile = profiles[f"t{place}"]
        custom = profile["custom_attributes"]
        line, free = kept(text, trims=True), kept(text, trims=False)
        assert (profile.get("first_name"), profile.get("last_name"), profile.get("home_city")) == (line, line, line)
        assert custom.get("notes") == free
        assert custom.get("tags") == (None if free is None else [free])
        assert custom.get("person") == (None if free is None else {"nick": free, "home": {"city": free}})
        assert custom.get("visits") == (None if free is None else [{"kind": "visit", "where": free}])
    assert world.run().unchanged == len(texts)


def test_naughty_text_in_a_list_field_arrives_as_an_array(world: World) -> None:
    items = [text for text in corpora() if trimmed(text)]
    fields: list[dict[str, Any]] = [
        {"Name": "CustomerNo", "Type": "STRING"},
        {"Name": "Notes", "Type": "TEXT"},
        {"Name": "Likes", "Type": "LIST-STRING", "ListField": items},
    ]
    chosen = [list(range(start, min(start + 40, len(items) + 1))) for start in range(1, len(items) + 1, 40)]
    # Text that looks like the JSON of a list cell stands beside it.
    beside = '"Likes":{"1":"x"},"PK_ID":7'
    world.customers(
        [{"CustomerNo": f"t{place}", "Likes": ids, "Notes": beside} for place, ids in enumerate(chosen)], fields
    )
    world.sync(TEXTS.split("fields:", maxsplit=1)[0] + "fields:\n  likes: Likes\n  notes: Notes\n")
    assert world.run().verdicts == {"sent": len(chosen)}
    for place, ids in enumerate(chosen):
        custom = world.profiles()[f"t{place}"]["custom_attributes"]
        wanted = [kept(items[number - 1], trims=True) for number in ids]
        assert custom["likes"] == list(dict.fromkeys(text for text in wanted if text is not None))
        assert custom["notes"] == beside


def test_naughty_text_as_key_names_the_profile(world: World) -> None:
    texts = corpora()
    world.customers([world.person(place, CustomerNo=text) for place, text in enumerate(texts)])
    world.loose()
    report = world.run()
    keys = [kept(text, trims=True) for text in texts]
    wanted = list({key.lower(): key for key in reversed([key for key in keys if key is not None])}.values())
    assert set(world.profiles()) == set(wanted)
    assert report.verdicts == {"sent": len(wanted), "quarantined": len(texts) - len(wanted)}


JUDGED = """\
kind: profiles
source: {table: Customers}
identity: {external_id: CustomerNo}
fields:
  email: Email
  phone: {from: Phone, transform: {phone: {from: Country, region: GB}}}
  country: Country
  language: Language
  gender: Gender
  time_zone: Zone
  dob: Born
  image_url: Picture
  joined: {from: Joined, type: datetime}
  vip: {from: Vip, type: boolean}
  points: {from: Points, type: integer}
consent:
  email_subscribe: {from: Consent, map: {yes: subscribed, no: unsubscribed}}
gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}
"""


def test_naughty_text_in_fields_with_a_format_is_held_and_never_shown(world: World) -> None:
    names = (
        "Email",
        "Phone",
        "Country",
        "Language",
        "Gender",
        "Zone",
        "Born",
        "Picture",
        "Joined",
        "Vip",
        "Points",
        "Consent",
    )
    texts = corpora()
    fields: list[dict[str, Any]] = [
        {"Name": "CustomerNo", "Type": "STRING"},
        *({"Name": name, "Type": "STRING"} for name in names),
    ]
    world.customers(
        [{"CustomerNo": f"t{place}", **dict.fromkeys(names, text)} for place, text in enumerate(texts)], fields
    )
    world.sync(JUDGED)
    report = world.run()
    assert sum(report.verdicts.values()) == len(texts)
    assert set(report.verdicts) == {"sent", "quarantined"}
    assert world.braze.rejected == 0
    held = world.reasons()
    shown = report.model_dump_json() + " ".join(held.values())
    assert not [text for text in texts if re.search(r"[^\W\d_]{9}", text) and " " in trimmed(text) and text in shown]
    # Nothing was sent that Braze would have dropped without a word.
    for key, profile in world.profiles().items():
        empty = kept(texts[int(key[1:])], trims=True) is None
        assert empty or {"email", "country"} & set(profile) == {"email", "country"}

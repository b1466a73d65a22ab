"""The sync file of an engagement return: what it may say, and what is said about the rest, with file and line."""

from pathlib import Path

import pytest

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.mapping import EngagementMapping
from caspio_sync.mapping.sync_file import load_sync, parse_sync, sync_json_schema
from caspio_sync.schemas import CaspioField

HEAD = "kind: engagement\nsource: {table: People}\nidentity: {external_id: No}\n"
FIELDS = [
    CaspioField("No", "STRING"),
    CaspioField("Opened", "DATE/TIME"),
    CaspioField("Opens", "STRING"),
    CaspioField("Count", "INTEGER"),
    CaspioField("Flag", "YES/NO"),
    CaspioField("Stamp", "TIMESTAMP", on_update=True, editable=False),
    CaspioField("Sum", "NUMBER", is_formula=True),
    CaspioField("Consent", "STRING"),
]


def parsed(rest: str, head: str = HEAD) -> EngagementSync:
    sync = parse_sync(head + rest, Path("syncs/back.yaml"))
    assert isinstance(sync, EngagementSync)
    return sync


def refusal(rest: str, head: str = HEAD) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(rest, head)
    return str(caught.value)


def misfit(rest: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        EngagementMapping(parsed(rest), FIELDS, ATTRIBUTE_VALUES)
    return str(caught.value)


def test_columns_are_coarse_unless_asked_otherwise() -> None:
    sync = parsed("fields: {Opened: email_last_open_at, Opens: email_opens, Count: {measure: sms_clicks, as: exact}}\n")
    assert {name: field.written_as for name, field in sync.fields.items()} == {
        "Opened": "date",
        "Opens": "bucket",
        "Count": "exact",
    }
    assert sync.exact == ("Count",)


def test_consent_and_bounces_come_before_the_order_of_the_file() -> None:
    sync = parsed(
        "fields: {Opens: email_opens, Flag: {measure: email_bounces, as: flag}}\n"
        "consent: {email_subscribe: {column: Consent}}\n"
    )
    assert sync.columns == ("Consent", "Flag", "Opens")


def test_the_shipped_file_is_sound_and_says_first_what_is_there_without_currents() -> None:
    path = Path(__file__).parents[2] / "examples" / "engagement.yaml"
    assert isinstance(load_sync(path), EngagementSync)
    text = path.read_text(encoding="utf-8")
    assert text.index("without Currents") < text.index("kind: engagement")


def test_the_schema_for_editors_knows_the_kind() -> None:
    assert "EngagementSync" in sync_json_schema()["$defs"]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("fields: {Opens: email_opened}\n", "back.yaml:4: fields.Opens: 'email_opened' is nothing that is known of a"),
        (
            "fields:\n  Opens: {measure: email_opens, as: date}\n",
            "back.yaml:5: fields.Opens: 'email_opens' cannot be wri",
        ),
        (
            "fields:\n  Opens: {mesure: email_opens}\n",
            "back.yaml:5: fields.Opens.mesure: unknown key (did you mean 'mea",
        ),
        ("fields: {No: email_opens}\n", "back.yaml:4: fields.No: 'No' is the key already; a column holds one thing"),
        ("", "back.yaml:1: kind: writes nothing"),
        (
            "fields: {Consent: email_opens}\nconsent:\n  email_subscribe: {column: Consent}\n",
            "back.yaml:4: fields.Consent: 'Consent' is written already",
        ),
        (
            "consent:\n  email_subscribe: {column: Consent, map: {yes: subscribed}}\n",
            "back.yaml:5: consent.email_subscribe: `map` has no word for unsubscribed",
        ),
        (
            "consent:\n  email_subscribe: {column: Consent, conflict: latest}\n",
            "back.yaml:5: consent.email_subscribe.conflict: must be 'most_restrictive', 'newest', 'caspio_wins', 'desti",
        ),
        ("consent:\n  subscription_groups: [{id: x, channel: email, column: A}]\n", "is no subscription group id"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(rest: str, said: str) -> None:
    assert said in refusal(rest)


def test_a_view_and_a_cursor_are_refused() -> None:
    rest = "fields: {Opens: email_opens}\n"
    view = HEAD.replace("{table: People}", "{view: People, page_by: Number}")
    assert "back.yaml:2: source.view: a view is not written" in refusal(rest, view)
    cursor = HEAD.replace("{table: People}", "{table: People, cursor: Stamp}")
    assert "an engagement return reads all rows" in refusal(rest, cursor)


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("fields: {Missing: email_opens}\n", "back.yaml:4: fields.Missing: the table has no field 'Missing'"),
        ("fields: {Stamp: email_last_open_at}\n", "'Stamp' is read-only in Caspio (TIMESTAMP)"),
        ("fields: {Sum: email_opens}\n", "'Sum' is read-only in Caspio (NUMBER)"),
        ("fields: {Opens: email_last_open_at}\n", "is of type STRING, and email_last_open_at as date needs DATE/TIME"),
        (
            "consent: {email_subscribe: {column: Opened}}\n",
            "is of type DATE/TIME; a state needs a Yes/No or text field",
        ),
        (
            "consent: {email_subscribe: {column: Consent, conflict: newest, changed_at: Opens}}\n",
            "'Opens' is of type STRING; name a Date/Time or Timestamp field",
        ),
    ],
)
def test_what_does_not_fit_the_table_is_refused_with_its_line(rest: str, said: str) -> None:
    assert said in misfit(rest)


def test_words_are_written_as_the_file_spells_them() -> None:
    sync = parsed(
        "consent: {email_subscribe: {column: Consent, map: {Ja: subscribed, Nein: unsubscribed, nee: unsubscribed}}}\n"
    )
    (state,) = EngagementMapping(sync, FIELDS, ATTRIBUTE_VALUES).states
    assert state.values == {"subscribed": "Ja", "opted_in": "Ja", "unsubscribed": "Nein"}
    assert state.held["opted_in"] == "subscribed"


def test_a_yes_that_means_no() -> None:
    sync = parsed("consent: {email_subscribe: {column: Flag, map: {yes: unsubscribed, no: subscribed}}}\n")
    (state,) = EngagementMapping(sync, FIELDS, ATTRIBUTE_VALUES).states
    assert state.values == {"unsubscribed": True, "subscribed": False, "opted_in": False}

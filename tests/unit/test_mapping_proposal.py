import pytest

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.kinds.profiles.proposal import propose_sync
from caspio_sync.schemas import CaspioField
from tests.definitions import profiles

FIELDS = [
    CaspioField("CustomerNo", "STRING", unique=True),
    CaspioField("First Name", "STRING"),
    CaspioField("EMail", "STRING"),
    CaspioField("Mobile", "STRING"),
    CaspioField("Country", "STRING"),
    CaspioField("Birthday", "DATE/TIME"),
    CaspioField("Gender", "INTEGER"),
    CaspioField("TotalSpend", "CURRENCY"),
    CaspioField("Remarks", "TEXT"),
    CaspioField("Tags", "LIST-STRING"),
    CaspioField("Key", "STRING"),
    CaspioField("EmailOptIn", "YES/NO"),
    CaspioField("Secret", "PASSWORD"),
    CaspioField("Photo", "FILE"),
    CaspioField("ChangedAt", "TIMESTAMP", on_insert=True, on_update=True, time_zone="GMT Standard Time"),
]


def test_a_proposal_can_be_read_and_fits_its_table() -> None:
    sync = profiles(propose_sync("people", "People", FIELDS))
    mapping = ProfileMapping(sync, FIELDS, ATTRIBUTE_VALUES)
    assert sync.identity.external_id == "CustomerNo"
    assert sync.source.cursor == "ChangedAt"
    assert {"first_name", "email", "phone", "country", "dob", "total_spend", "tags"} <= {
        c.name for c in mapping.columns
    }


def test_names_that_braze_keeps_are_avoided() -> None:
    sync = profiles(propose_sync("people", "People", FIELDS))
    assert sync.fields["caspio_key"].source_field == "Key"
    assert sync.fields["caspio_gender"].source_field == "Gender"


def test_what_cannot_be_read_and_consent_stand_as_comments() -> None:
    text = propose_sync("people", "People", FIELDS)
    assert "  # secret: Secret" in text
    assert "#   email_subscribe: EmailOptIn" in text


def test_a_key_that_is_not_unique_is_pointed_out() -> None:
    assert "NOT unique" in propose_sync(
        "p", "People", [CaspioField("Name", "STRING"), CaspioField("MemberID", "INTEGER")]
    )


def test_a_table_without_a_possible_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no field can name a profile"):
        propose_sync("p", "People", [CaspioField("Born", "DATE/TIME")])


@pytest.mark.parametrize("name", ['say "a: b" #c', "a\u0085b", "line\u2028end", "\x7f\N{GRINNING FACE}", "a\\b", " a "])
def test_odd_names_are_read_back_as_they_are(name: str) -> None:
    fields = [CaspioField("CustomerNo", "STRING", unique=True), CaspioField(name, "STRING")]
    sync = profiles(propose_sync("people", "People", fields))
    assert [each.source_field for each in sync.fields.values()] == [name]


def proposed_lines(*names: str, **more: object) -> list[str]:
    """The proposal for a table of text columns of these names, without comments at the ends of lines."""
    fields = [CaspioField("CustomerNo", "STRING", unique=True), *(CaspioField(name, "STRING") for name in names)]
    text = propose_sync("people", "People", fields, **more)  # type: ignore[arg-type]
    return [line.split("    # ")[0] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("columns", "states"),
    [
        (["EmailConsent", "PushConsent"], ["email_subscribe: EmailConsent", "push_subscribe: PushConsent"]),
        (["PushConsent"], ["push_subscribe: PushConsent"]),
        (["OptIn", "PushOptIn"], ["email_subscribe: OptIn", "push_subscribe: PushOptIn"]),
        (["EmailConsent", "OptIn"], ["email_subscribe: EmailConsent"]),
    ],
)
def test_each_state_is_proposed_once(columns: list[str], states: list[str]) -> None:
    lines = proposed_lines(*columns)
    assert [line.removeprefix("#   ") for line in lines if "_subscribe:" in line] == states


def test_other_states_are_proposed_as_groups() -> None:
    groups = [line for line in proposed_lines("EmailConsent", "Newsletter", "SmsOptIn") if "group id" in line]
    assert [line.partition("channel: ")[2] for line in groups] == ["email, from: Newsletter}", "sms, from: SmsOptIn}"]


@pytest.mark.parametrize(
    ("zone", "line"),
    [("Europe/Berlin", "  time_zone: Europe/Berlin"), (None, "  # time_zone: Europe/London")],
)
def test_the_zone_of_the_clocks_is_known_or_left_to_a_person(zone: str | None, line: str) -> None:
    assert [each for each in proposed_lines("City", time_zone=zone) if "time_zone" in each] == [line]


def test_what_comes_from_braze_is_not_sent_back() -> None:
    lines = proposed_lines("City", "EmailOpens", returned={"EmailOpens": "email_opens"})
    assert "  home_city: City" in lines
    assert "  # email_opens: EmailOpens" in lines
    assert "  email_opens: EmailOpens" not in lines

"""The first file of an engagement return: it can be read, fits its table, and writes no column that is something else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.activecampaign.engagement import EngagementFeed
from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.engagement.definition import FORMS, MEASURES, EngagementSync
from caspio_sync.kinds.engagement.mapping import TAKES, EngagementMapping
from caspio_sync.kinds.engagement.proposal import propose_engagement
from caspio_sync.mapping.sync_file import load_sync, parse_sync
from caspio_sync.sandbox.data import FIELDS
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField

KEY = CaspioField("CustomerNo", "STRING", unique=True)
CUSTOMERS = [
    CaspioField(each["Name"], each["Type"], unique=each.get("Unique", False), editable=each["Type"] != "TIMESTAMP")
    for each in FIELDS
]


def proposed(*fields: CaspioField) -> EngagementSync:
    """The sync that is proposed for a table, which it fits."""
    sync = parse_sync(propose_engagement("back", "People", fields), Path("syncs/back.yaml"))
    assert isinstance(sync, EngagementSync)
    EngagementMapping(sync, fields, ATTRIBUTE_VALUES)
    return sync


def guess(name: str, type_: str) -> tuple[str, str] | None:
    """What is proposed for one column: its measure and form; None for nothing."""
    sync = proposed(KEY, CaspioField("HardBounced", "YES/NO"), CaspioField(name, type_))
    field = sync.fields.get(name)
    return (field.measure, field.written_as) if field else None


def test_the_shops_table_gets_what_the_shipped_file_writes() -> None:
    sync = proposed(*CUSTOMERS)
    shipped = load_sync(Path(__file__).parents[2] / "examples" / "engagement.yaml")
    assert isinstance(shipped, EngagementSync)
    assert sync.fields == shipped.fields
    assert (sync.identity.external_id, sync.identity.email) == ("CustomerNo", "Email")
    assert not sync.returned.states  # its words are for a person to say
    assert sync.source.cursor is None


@pytest.mark.parametrize(
    ("name", "type_", "measure", "form"),
    [
        ("HardBounce", "YES/NO", "hard_bounced_at", "flag"),
        ("Hard bounced at", "DATE/TIME", "hard_bounced_at", "date"),
        ("LastEmailOpen", "DATE/TIME", "email_last_open_at", "date"),
        ("last_opened_on", "DATE/TIME", "email_last_open_at", "date"),
        ("OpenCount", "INTEGER", "email_opens", "bucket"),
        ("EMailOpens", "STRING", "email_opens", "bucket"),
        ("EmailOpened", "DATE/TIME", "email_last_open_at", "date"),
        ("EmailsSent", "NUMBER", "email_sent", "bucket"),
        ("emailsent", "NUMBER", "email_sent", "bucket"),
        ("Clicks", "INTEGER", "email_clicks", "bucket"),
        ("Clicked", "YES/NO", "email_clicks", "flag"),
        ("SMS clicks", "STRING", "sms_clicks", "bucket"),
        ("WhatsAppDelivered", "DATE/TIME", "whatsapp_last_delivered_at", "date"),
        ("BrazeLastPushClick", "DATE/TIME", "push_last_click_at", "date"),
        ("in_app_first_at", "DATE/TIME", "in_app_first_at", "date"),
        ("Delivered", "YES/NO", "email_delivered", "flag"),
        ("Complaint", "YES/NO", "email_complaints", "flag"),
        ("Bounces", "INTEGER", "email_bounces", "bucket"),
        ("Engaged", "YES/NO", "engaged_30_days", "flag"),
        ("LastEngagedAt", "DATE/TIME", "last_engaged_at", "date"),
        ("LastCampaign", "STRING", "last_campaign_name", "text"),
        ("LastCampaignID", "STRING", "last_campaign_id", "text"),
        ("FavouriteChannel", "TEXT", "preferred_channel", "text"),
    ],
)
def test_a_column_is_known_by_name_and_type(name: str, type_: str, measure: str, form: str) -> None:
    assert guess(name, type_) == (measure, form)


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("OpenOrders", "INTEGER"),
        ("Opened", "DATE/TIME"),  # a shop, an account
        ("DeliveredAt", "DATE/TIME"),  # a parcel
        ("OpeningTime", "DATE/TIME"),
        ("Campaign", "STRING"),
        ("PushBounced", "YES/NO"),  # only e-mail bounces
        ("Complaints", "TEXT"),  # what somebody wrote
        ("Channel", "STRING"),
    ],
)
def test_a_name_that_may_mean_something_else_is_left_alone(name: str, type_: str) -> None:
    assert guess(name, type_) is None


@pytest.mark.parametrize("type_", [*SOURCE_DTYPES, "PASSWORD"])
@pytest.mark.parametrize("name", ["HardBounced", "LastOpened", "EmailOpens", "Engaged", "LastCampaign"])
def test_no_type_gets_what_it_does_not_take(name: str, type_: str) -> None:
    sync = proposed(KEY, CaspioField("Clicks", "INTEGER"), CaspioField(name, type_))
    if name in sync.fields:
        field = sync.fields[name]
        assert type_ in TAKES[MEASURES[field.measure], field.written_as]


@pytest.mark.parametrize(
    "column",
    [
        CaspioField("EmailOpens", "NUMBER", is_formula=True),
        CaspioField("EmailOpens", "INTEGER", editable=False),
        CaspioField("EmailOpens", "INTEGER", unique=True),  # one value is written to many rows
        CaspioField("EmailOpens", "AUTONUMBER", editable=False),
        CaspioField("_EmailOpens", "INTEGER"),  # a name of the sync's own frames
        CaspioField("EmailConsent", "STRING", editable=False),
    ],
)
def test_a_column_that_takes_no_values_is_not_written(column: CaspioField) -> None:
    assert proposed(KEY, CaspioField("Clicks", "INTEGER"), column).columns == ("Clicks",)


def test_what_the_table_lacks_stands_there_to_be_uncommented() -> None:
    text = propose_engagement("back", "People", [KEY, CaspioField("HardBounced", "YES/NO")])
    assert (
        "  # LastOpened: email_last_open_at    # add a Date/Time field LastOpened in Caspio, then uncomment\n" in text
    )
    assert "  # HardBounced" not in text
    added = text.replace("  # LastOpened", "  LastOpened").replace("  # MarkedAsSpam", "  MarkedAsSpam")
    sync = parse_sync(added, Path("back.yaml"))
    assert list(sync.fields) == ["HardBounced", "MarkedAsSpam", "LastOpened"]


def test_a_name_that_is_taken_by_another_type_gets_another_column() -> None:
    fields = [KEY, CaspioField("HardBounced", "YES/NO"), CaspioField("lastopened", "STRING")]
    assert "  # BrazeLastOpened: email_last_open_at" in propose_engagement("back", "People", fields)
    assert proposed(*fields, CaspioField("BrazeLastOpened", "DATE/TIME")).fields.keys() == {
        "HardBounced",
        "BrazeLastOpened",
    }


def test_a_table_without_such_columns_is_refused_with_those_to_add() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^People: no column .* add some in Caspio, such as HardBounced \(Yes/"
    ):
        propose_engagement("back", "People", [KEY, CaspioField("Email", "STRING"), CaspioField("Newsletter", "YES/NO")])


def test_consent_alone_makes_a_file() -> None:
    text = propose_engagement("back", "People", [KEY, CaspioField("OptIn", "YES/NO")])
    sync = proposed(KEY, CaspioField("OptIn", "YES/NO"))
    assert sync.columns == ("OptIn",)
    assert "# fields:\n#   HardBounced: {measure: hard_bounced_at, as: flag}    # add a Yes/No field" in text


def test_a_table_without_a_possible_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no field can name a profile"):
        propose_engagement("back", "People", [CaspioField("LastOpened", "DATE/TIME")])


def test_words_of_consent_are_for_a_person_to_say() -> None:
    fields = [KEY, CaspioField("Email opt-in", "STRING"), CaspioField("PushConsent", "YES/NO")]
    sync = proposed(*fields)
    assert sync.returned.email_subscribe is None
    assert sync.returned.push_subscribe is not None
    assert sync.returned.push_subscribe.map is None
    text = propose_engagement("back", "People", fields)
    said = text.replace("  # email_subscribe", "  email_subscribe").replace("  #   column", "    column")
    said = said.replace(
        "  #   map: {WORD: subscribed, WORD: opted_in, WORD: unsubscribed}", "    map: {y: subscribed, n: unsubscribed}"
    )
    filled = parse_sync(said, Path("back.yaml"))
    assert isinstance(filled, EngagementSync)
    assert filled.returned.email_subscribe is not None
    assert (filled.returned.email_subscribe.column, filled.returned.email_subscribe.map) == (
        "Email opt-in",
        {"y": "subscribed", "n": "unsubscribed"},
    )


def test_one_column_is_the_state_and_the_others_may_be_groups() -> None:
    fields = [
        KEY,
        CaspioField("Consent", "YES/NO"),
        CaspioField("EmailConsent", "YES/NO"),
        CaspioField("SmsConsent", "YES/NO"),
        CaspioField("Newsletter", "STRING"),
        CaspioField("ConsentSource", "STRING"),
        CaspioField("Unsubscribed", "YES/NO"),
    ]
    text = propose_engagement("back", "People", fields)
    assert proposed(*fields).columns == ("EmailConsent",)
    assert "  #   - {id: <group id of Braze>, channel: sms, column: SmsConsent}" in text
    assert "  #   - {id: <group id of Braze>, channel: email, column: Newsletter}" in text
    assert "Unsubscribed" not in text  # its yes means no


@pytest.mark.parametrize("name", ["Email Opens", "e-mail: opens", 'email "opens" #', "email\\opens", "{email} opens?"])
def test_odd_names_are_quoted(name: str) -> None:
    assert guess(name, "INTEGER") == ("email_opens", "bucket")


SIGNS = st.text(" _-:#'\"\\{}[],&*!|>%@`?~\t\n\x7f\x85\u2028é😀", max_size=3)
WORDS = st.one_of(
    st.sampled_from(["email", "Email", "mail", "e-mail", "sms", "push", "Braze", "Last", "ID", "No", "null", "true"]),
    st.sampled_from(["Opened", "opens", "Clicks", "Hard", "Bounced", "Delivered", "Engaged", "Campaign", "Complaint"]),
    st.sampled_from(["Preferred", "Channel", "Consent", "OptIn", "Newsletter", "Customer", "key", "fields", "changed"]),
)
NAMES = st.one_of(
    st.lists(st.tuples(WORDS, SIGNS).map("".join), min_size=1, max_size=4).map("".join),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
)
COLUMNS = st.builds(
    CaspioField,
    NAMES,
    st.sampled_from([*SOURCE_DTYPES, "PASSWORD"]) | st.sampled_from(["YES/NO", "DATE/TIME", "STRING", "INTEGER"]),
    unique=st.booleans(),
    editable=st.sampled_from([True, True, True, False]),
    is_formula=st.sampled_from([False, False, False, True]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(COLUMNS, max_size=12, unique_by=lambda each: each.name.lower()))
def test_whatever_the_table_the_file_fits_and_writes_no_column_that_is_something_else(
    fields: list[CaspioField],
) -> None:
    table = [KEY, CaspioField("Clicks", "INTEGER"), *(each for each in fields if each.name not in {"Clicks", KEY.name})]
    sync = proposed(*table)
    by_name = {each.name: each for each in table}
    assert not {sync.identity.external_id, sync.identity.email} & set(sync.columns)
    for column in sync.columns:
        field = by_name[column]
        assert field.editable
        assert not field.is_formula
        assert not field.unique
    for column, written in sync.fields.items():
        forms = [
            form
            for form in FORMS[MEASURES[written.measure]]
            if by_name[column].type in TAKES[MEASURES[written.measure], form]
        ]
        assert written.written_as == forms[0]


def test_of_activecampaign_people_are_found_by_address_and_states_are_of_lists() -> None:
    fields = (KEY, CaspioField("Email", "STRING"), CaspioField("Newsletter", "YES/NO"), CaspioField("Opens", "INTEGER"))
    text = propose_engagement("back", "People", fields, destination="activecampaign")
    sync = parse_sync(text, Path("syncs/back.yaml"))
    assert isinstance(sync, EngagementSync)
    EngagementMapping(sync, fields, EngagementFeed.values)
    assert (sync.destination, sync.identity.email, sync.identity.external_id) == ("activecampaign", "Email", None)
    assert {name: each.measure for name, each in sync.fields.items()} == {"Opens": "email_opens"}
    said = text.replace("# consent:", "consent:").replace("#   lists:", "  lists:").replace("#     LIST:", "    News:")
    with_list = parse_sync(said, Path("syncs/back.yaml"))
    assert isinstance(with_list, EngagementSync)
    assert with_list.returned.lists["News"].column == "Newsletter"
    assert ("Currents" in text, "campaign_stats" in text) == (False, False)

import json
from pathlib import Path

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.mapping.sync_file import load_sync, parse_sync, sync_json_schema
from tests.definitions import profiles

SHIPPED = Path(__file__).parents[2] / "examples" / "customers.yaml"
PATH = Path("syncs/people.yaml")
HEAD = "kind: profiles\nsource: {table: People}\nidentity: {external_id: Id}\n"


def parse(text: str) -> ProfileSync:
    return profiles(text, PATH)


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return str(caught.value)


def refused_field(line: str) -> str:
    """The finding about a field in line 5 of an otherwise sound file."""
    message = refusal(f"{HEAD}fields:\n  {line}\n")
    assert message.startswith("syncs/people.yaml:5: ")
    return message


def test_the_shipped_sync_is_sound() -> None:
    sync = load_sync(SHIPPED)
    assert sync.name == "customers"
    assert len(sync.fields) >= 20


@pytest.mark.parametrize(("name", "item_id"), [("products", ("StockCode", "slug")), ("books", ("BookNo", "strict"))])
def test_the_shipped_catalog_syncs_are_sound(name: str, item_id: tuple[str, str]) -> None:
    sync = load_sync(SHIPPED.with_name(f"{name}.yaml"))
    assert isinstance(sync, CatalogSync)
    assert (sync.name, sync.catalog.name) == (name, name)
    assert (sync.item_id.source_field, sync.item_id.id_transform) == item_id


def test_short_and_long_form_of_a_field_mean_the_same() -> None:
    short = parse(f"{HEAD}fields: {{first_name: First}}\n")
    long = parse(f"{HEAD}fields: {{first_name: {{from: First}}}}\n")
    assert short.fields == long.fields


def test_transforms_may_be_one_word_a_list_or_a_mapping() -> None:
    sync = parse(
        f"{HEAD}fields:\n"
        "  a: {from: A, transform: lower}\n"
        "  b: {from: B, transform: [trim, {truncate: 40}]}\n"
        "  phone: {from: C, transform: {phone: GB}}\n"
        "  d: {from: D, transform: {phone: {from: Country}}}\n"
    )
    assert [step.name for step in sync.fields["b"].transform] == ["trim", "truncate"]
    assert sync.fields["phone"].phone_region is not None
    assert sync.fields["phone"].phone_region.region == "GB"
    assert sync.fields["d"].phone_region is not None
    assert sync.fields["d"].phone_region.source_field == "Country"


def test_yes_no_and_norway_stay_words() -> None:
    sync = parse(
        f"{HEAD}fields: {{country: {{from: C, map: {{Norge: NO}}}}}}\n"
        "consent: {email_subscribe: {from: E, map: {yes: subscribed, no: unsubscribed, off: null}}}\n"
    )
    assert sync.fields["country"].map == {"norge": "NO"}
    assert sync.consent.email_subscribe is not None
    assert sync.consent.email_subscribe.map == {"yes": "subscribed", "no": "unsubscribed", "off": None}


def test_custom_names_may_look_like_words_of_the_frames() -> None:
    assert parse(f"{HEAD}fields: {{Key: A, Größe in cm: B}}\n").fields.keys() == {"Key", "Größe in cm"}


def test_where_gives_the_line_of_a_place() -> None:
    sync = parse(f"{HEAD}fields:\n  first_name: First\n  email: Mail\n")
    assert sync.where("fields", "email") == "syncs/people.yaml:6"
    assert sync.where("source", "cursor") == "syncs/people.yaml:2"


def test_required_groups_may_be_named_by_id() -> None:
    group = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
    sync = parse(
        f"{HEAD}consent:\n  subscription_groups: [{{id: {group}, channel: email, from: N}}]\n  require: [{group}]\n"
    )
    assert sync.consent.required == (f"subscription_groups.{group}",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Email: Mail", "the standard one is spelled 'email'"),
        ("firstName: First", "the standard one is spelled 'first_name'"),
        ("ExternalId: X", "the standard one is spelled 'external_id'"),
        ("external_id: Id", "put it under `identity`"),
        ("email_subscribe: C", "put it under `consent`"),
        ("braze_id: X", "reserved"),
        ("push_tokens: X", "reserved"),
        ("events: X", "reserved"),
        ("_secret: X", "reserved"),
        ("key: X", "choose another"),
        ("fp: X", "choose another"),
        ("key_hash: X", "choose another"),
        ("fields: X", "choose another"),
        ("changed: X", "choose another"),
        ("consent_fields: X", "choose another"),
        ("consent_changed: X", "choose another"),
        ("key_unique: X", "choose another"),
        ("size__ok: X", "reserved"),
        ("inc: X", "whole values only"),
        ("$total: X", "must start with a letter or a digit"),
        (f"{'n' * 256}: X", "256 characters"),
        ("orders: {inc: X}", "whole values"),
        ("orders: {from: X, typ: integer}", "did you mean 'type'?"),
        ("orders: {from: X, type: integr}", "'integer'"),
        ("orders: {from: X, transform: shout}", "'lower'"),
        ("orders: {from: X, transform: {truncate: many}}", "integer"),
        ("orders: {from: X, transform: truncate}", "takes a number"),
        ("orders: {from: X, constant: 1}", "exactly one of"),
        ("orders: {transform: lower}", "exactly one of"),
        ("orders: {constant: 1, transform: lower}", "need `from`"),
        ("orders: {constant: 1, type: string}", "need `from`"),
        ("orders: {from: X, on_null: erase}", "'skip' or 'clear'"),
        ("orders: {from: X, time_zone: GMT Standard Time}", "no IANA time zone"),
        ("orders: {from: X, map: {a: 1, A: 2}}", "differ only by case"),
        ("orders: {from: X, map: {'': 1}}", "needs no entry"),
        ("dob: {from: X, type: integer}", "always of type date"),
        ("email: {object: {a: A}}", "a single value"),
        ("phone: {from: X, transform: {phone: England}}", "two capital letters"),
        ("current_location: {object: {longitude: X}}", "longitude and latitude"),
        ("box: {object: {a.b: X}}", "may hold no space"),
        ("box: {object: {$add: X}}", "operations"),
        ("box: {object: {}}", "holds nothing"),
        ("box: {array: [A, {object: {b: B}}]}", "mixes objects and plain values"),
        ("box: {object: {a: {array: [A, B]}}}", "cannot stand inside an object"),
        ("box: {object: {a: {array: [{object: {x: X}}]}}}", "cannot stand inside an object"),
    ],
)
def test_a_wrong_field_is_refused_with_its_line_and_what_to_do(line: str, words: str) -> None:
    assert words in refused_field(line)


def test_a_field_mapped_twice_names_both_lines() -> None:
    message = refusal(f"{HEAD}fields:\n  city: A\n  city: B\n")
    assert message == "syncs/people.yaml:6: key 'city' stands a second time (first in line 5); keep one"


def test_a_field_mapped_twice_by_case_is_refused() -> None:
    assert "differs only by case" in refusal(f"{HEAD}fields:\n  score: A\n  Score: B\n")


def test_the_identity_cannot_be_an_attribute_too() -> None:
    text = "kind: profiles\nsource: {table: T}\nidentity: {email: Mail}\nfields:\n  email: Mail\n"
    assert "syncs/people.yaml:5: fields.email: 'email' is the identity" in refusal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no keys"),
        ("- a\n", "has no keys"),
        ("kind: [\n", "syncs/people.yaml:2: is not YAML"),
        ("kind: profiles\n", "source: is missing"),
        (HEAD, "maps nothing"),
        (f"{HEAD}fields: {{a: A}}\nextra: 1\n", "syncs/people.yaml:5: extra: unknown key"),
        (f"{HEAD}fields: {{a: A}}\nname: other\n", "unknown key"),
        (HEAD.replace("profiles", "catalogue") + "fields: {a: A}\n", "'profiles'"),
        (HEAD.replace("table: People", "view: V") + "fields: {a: A}\n", "page_by"),
        (HEAD.replace("table: People", "table: T, page_by: X") + "fields: {a: A}\n", "remove `page_by`"),
        (
            HEAD.replace("table: People", "table: T, view: V") + "fields: {a: A}\n",
            "one of `table:`, `view:` and `posts:`",
        ),
        (HEAD.replace("table: People", "table: T, time_zone: Mars") + "fields: {a: A}\n", "Europe/London"),
        (HEAD.replace("external_id: Id", "external_id: Id, email: E") + "fields: {a: A}\n", "exactly one of"),
        (HEAD.replace("external_id: Id", "external_id: Id, region: GB") + "fields: {a: A}\n", "needs `phone`"),
        (f"{HEAD}fields: {{a: A}}\nbatch_size: 10\n", "greater than or equal to 1000"),
        (f"{HEAD}fields: {{a: A}}\ngate: {{max_quarantined_share: 2}}\n", "less than or equal to 1"),
        (f"{HEAD}fields: {{a: A}}\ngate: {{expectations: [{{type: drop_table}}]}}\n", "pattern"),
        (f"{HEAD}fields: {{a: A}}\nschedule: hourly\n", "five words"),
        (f"{HEAD}fields: {{a: A}}\non_missing: delete\n", "'keep'"),
        (f"{HEAD}consent: {{email_subscribe: {{from: E, map: {{x: maybe}}}}}}\n", "'unsubscribed'"),
        (f"{HEAD}consent: {{email_subscribe: E, require: [push_subscribe]}}\n", "not mapped here"),
        (f"{HEAD}consent: {{subscription_groups: [{{id: news, channel: email, from: N}}]}}\n", "a UUID"),
        (f"{HEAD}fields: {{a: !!python/name:os.system A}}\n", "not understood"),
        (f"{HEAD}fields: &f {{a: *f}}\n", "inside its own anchor"),
        (f"{HEAD}fields: {{[a]: A}}\n", "no single word"),
        ("kind: \x00\n", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_what_to_do(text: str, words: str) -> None:
    message = refusal(text)
    assert words in message
    assert "syncs/people.yaml" in message


def test_all_findings_are_told_at_once_in_the_order_of_the_file() -> None:
    message = refusal(f"{HEAD}fields:\n  Email: A\n  size: {{typ: x}}\nbatch: 1\n")
    assert [line.split(":")[1] for line in message.splitlines()] == sorted(
        line.split(":")[1] for line in message.splitlines()
    )
    assert {line.split(":")[1] for line in message.splitlines()} == {"5", "6", "7"}


def test_a_missing_file_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(HEAD)
    with pytest.raises(ConfigurationError, match="there are: orders"):
        load_sync(tmp_path / "customers.yaml")


def test_the_json_schema_knows_short_forms_and_the_keys_of_the_file() -> None:
    schema = sync_json_schema()
    text = json.dumps(schema)
    profiles, catalog = (schema["$defs"][name]["properties"].keys() for name in ("ProfileSync", "CatalogSync"))
    assert {"kind", "source", "identity", "fields", "consent", "gate", "batch_size"} <= profiles
    assert {"kind", "source", "catalog", "item_id", "fields", "gate", "on_missing"} <= catalog
    assert '"from"' in text
    assert "source_field" not in json.dumps(schema["$defs"]["FieldMapping"]["anyOf"][1]["properties"])
    assert schema["$defs"]["FieldMapping"]["anyOf"][0]["type"] == "string"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{}", "erasure: names nobody; write `table:` and `key:`"),
        ("{key: Id}", "names nobody"),
        ("{table: Requests}", "add `key:`"),
        ("{where: Gone=1, key: Id}", "remove it"),
        ("{where: ''}", "at least 1 character"),
        ("{where: 'Gone=(1'}", "unbalanced parentheses"),
        ("{where: 'Gone=1; DROP'}", "outside quotes"),
        ("{table: people, key: Id}", "lists everybody"),
        ("{table: people, key: Id, where: Gone=1}", "lists everybody"),
        ("{table: Requests, key: Id, max_keys: 0}", "greater than or equal to 1"),
        ("{table: Requests, keys: Id}", "did you mean 'key'?"),
        ("Requests", "valid dictionary"),
    ],
)
def test_an_impossible_erasure_is_refused_with_its_line(section: str, words: str) -> None:
    message = refusal(f"{HEAD}fields: {{a: A}}\nerasure: {section}\n")
    assert words in message
    assert message.startswith("syncs/people.yaml:5: erasure")


@pytest.mark.parametrize(
    "section", ["{table: Requests, key: Id}", "{table: R, key: Id, where: Done=0}", "{where: G=1}"]
)
def test_both_forms_of_erasure_are_understood(section: str) -> None:
    sync = parse_sync(f"{HEAD}fields: {{a: A}}\nerasure: {section}\n", Path("syncs/people.yaml"))
    assert sync.erasure is not None
    assert sync.erasure.max_keys == 1_000
    assert "erasure" in sync_json_schema()["$defs"]["ProfileSync"]["properties"]


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ("meta: {why: larger sums are typing mistakes}", "larger sums are typing mistakes"),
        ("meta: {name: sums}", "the sync file expects of spend: column values to be between (max_value 9)"),
        ("meta: {why: ''}", "the sync file expects of spend: column values to be between (max_value 9)"),
        ('meta: {why: "  "}', "the sync file expects of spend: column values to be between (max_value 9)"),
        ("severity: warning", "the sync file expects of spend: column values to be between (max_value 9)"),
    ],
)
def test_an_expectation_always_says_why(meta: str, why: str) -> None:
    kwargs = "type: expect_column_values_to_be_between, kwargs: {column: spend, max_value: 9}"
    sync = parse(f"{HEAD}fields: {{spend: S}}\ngate: {{expectations: [{{{kwargs}, {meta}}}]}}\n")
    assert [each.why for each in sync.gate.expectations] == [why]


def test_what_an_expectation_says_of_itself_holds_no_value_it_names() -> None:
    listed = "type: expect_column_values_to_be_in_set, kwargs: {column: spend, value_set: [ann@example.com]}"
    sync = parse(
        f"{HEAD}fields: {{spend: S}}\ngate: {{expectations: [{{{listed}}}, {{type: expect_table_row_count_to_equal, kwargs: {{value: 7}}}}]}}\n"
    )
    assert [each.why for each in sync.gate.expectations] == [
        "the sync file expects of spend: column values to be in set",
        "the sync file expects of the batch: table row count to equal (value 7)",
    ]

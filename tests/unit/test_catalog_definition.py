"""What a catalog's sync file may say, and how it is told what it may not: line by line, with what to do."""

from pathlib import Path

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.mapping.sync_file import parse_sync

PATH = Path("syncs/products.yaml")
HEAD = "kind: catalog\nsource: {table: Products}\ncatalog: {name: products}\nitem_id: Code\n"


def parse(text: str) -> CatalogSync:
    sync = parse_sync(text, PATH)
    assert isinstance(sync, CatalogSync)
    return sync


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return str(caught.value)


def test_a_short_file_says_all_that_is_needed() -> None:
    sync = parse(f"{HEAD}fields: {{name: Name}}\n")
    assert (sync.name, sync.catalog.name, sync.catalog.on_extra_field) == ("products", "products", "keep")
    assert (sync.item_id.source_field, sync.item_id.id_transform) == ("Code", "strict")
    assert (sync.identity.kind, sync.identity.label, sync.on_missing) == ("item_id", "products", "delete")
    assert sync.fields["name"].on_null == "clear"
    assert sync.erasure is None
    assert (sync.price, sync.currency) == (None, None)


def test_price_and_currency_are_the_fields_of_that_name_or_those_the_gate_names() -> None:
    fields = "fields: {price: Price, currency: Currency, cost: Cost}\n"
    sync = parse(HEAD + fields)
    assert (sync.price, sync.currency) == ("price", "currency")
    assert parse(f"{HEAD}{fields}gate: {{price: cost}}\n").price == "cost"


def test_the_sync_of_keys_alone_has_no_fields() -> None:
    sync = parse(f"{HEAD}fields: {{price: Price}}\ngate: {{price: price}}\n")
    assert dict(sync.of_keys().fields) == {}
    assert sync.of_keys().gate.price is None
    assert sync.of_keys("Other").item_id.source_field == "Other"
    assert list(sync.only("price").fields) == ["price"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("id: Code", "fields.id: 'id' is the item's id, which `item_id` names; remove the line"),
        ("ID: Code", "'ID' is the item's id"),
        ("first name: Name", "'first name' must be 1 to 250 letters from A to Z, digits, - and _; rename it"),
        ("größe: Size", "'größe' must be 1 to 250 letters"),
        (f"{'a' * 251}: Name", f"'{'a' * 40}…' must be 1 to 250 letters"),
        ("a.b: Name", "must be 1 to 250 letters"),
        ("key: Name", "'key' is a name that the sync's own frames use; choose another one, such as item_key"),
        ("problems: Name", "the sync's own frames use"),
        ("fp: Name", "choose another one, such as item_fp"),
        ("key_hash: Name", "the sync's own frames use"),
        ("changed: Name", "the sync's own frames use"),
        ("fields: Name", "the sync's own frames use"),
        ("_hidden: Name", "'_hidden' is a reserved name"),
        ("price__ok: Name", "'price__ok' is a reserved name"),
        ("a: {from: Name, on_null: skip}", "fields.a.on_null: must be 'clear'; correct it"),
        ("a: {from: Name, type: date}", "fields.a.type: must be 'string', 'number', 'boolean', 'time'"),
        ("a: {from: Name, geo: {longitude: X, latitude: Y}}", "needs exactly one of `from`, `constant`, `object`, `array` and `geo`"),
        ("a: {geo: {longitude: X}}", "fields.a.geo.latitude: is missing; add it"),
        ("a: {object: {at: {geo: {longitude: X, latitude: Y}}}}", "a place is a field of its own; move it up, under `fields`"),
        ("a: {object: {a.b: Name}}", "key 'a.b' of an object may hold no '.', '$', quote, backslash or control character; use '_'"),
        ("a: {object: {$time: Name}}", "key '$time' of an object may hold no '.', '$'"),
        ("a: {object: {b: {array: [X, Y]}}}", "a built array cannot stand inside an object; make it a field of its own"),
        ("a: {array: [{object: {b: X}}]}", "items of a catalog's array are text; name single fields, or build an object instead"),
        (f"a: {{array: [{', '.join(['X'] * 101)}]}}", "fields.a.array: names 101 items, Braze takes 100; leave some out"),
        ("a: {form: Name}", "unknown key (did you mean 'from'?); remove it or correct its spelling"),
    ],
)  # fmt: skip
def test_a_field_that_braze_cannot_take_is_told_with_its_line(line: str, said: str) -> None:
    message = refusal(f"{HEAD}fields:\n  {line}\n")
    assert message.startswith("syncs/products.yaml:6: ")
    assert said in message


@pytest.mark.parametrize(
    ("head", "line", "said"),
    [
        ("catalog: {name: my products}", 3, "catalog.name: must match pattern"),
        (f"catalog: {{name: {'a' * 251}}}", 3, "catalog.name: must match pattern"),
        (f"catalog: {{name: a, description: {'a' * 251}}}", 3, "catalog.description: must have at most 250 characters"),
        ("catalog: {name: a, on_extra_field: drop}", 3, "catalog.on_extra_field: must be 'keep' or 'delete'"),
        ("catalog: {}", 3, "catalog.name: is missing; add it"),
        ("catalog: {name: a}\nidentity: {external_id: Code}", 4, "identity: unknown key"),
        ("catalog: {name: a}\nconsent: {email_subscribe: News}", 4, "consent: unknown key"),
        ("catalog: {name: a}\non_missing: remove", 4, "on_missing: must be 'delete' or 'keep'"),
        ("catalog: {name: a}\ngate: {max_price_factor: 1}", 4, "gate.max_price_factor: must be greater than 1"),
        (
            "catalog: {name: a}\ngate: {price: cost}",
            4,
            "gate.price: names 'cost', which is not mapped; name one of name",
        ),
        ("catalog: {name: a}\ngate: {currency: coin}", 4, "gate.currency: names 'coin', which is not mapped"),
    ],
)
def test_the_rest_of_the_file_is_told_with_its_line(head: str, line: int, said: str) -> None:
    message = refusal(f"kind: catalog\nsource: {{table: Products}}\n{head}\nitem_id: Code\nfields: {{name: Name}}\n")
    assert f"syncs/products.yaml:{line}: {said}" in message


def test_what_is_missing_is_told_by_name() -> None:
    message = refusal("kind: catalog\nsource: {table: Products}\n")
    for name in ("catalog", "item_id", "fields"):
        assert f"{name}: is missing; add it" in message


def test_an_id_transform_is_one_of_two() -> None:
    assert "item_id.id_transform: must be 'strict' or 'slug'" in refusal(
        HEAD.replace("item_id: Code", "item_id: {from: Code, id_transform: hash}") + "fields: {a: A}\n"
    )


def test_names_that_differ_only_by_case_are_told() -> None:
    message = refusal(f"{HEAD}fields:\n  Name: A\n  name: B\n")
    assert (
        message
        == "syncs/products.yaml:7: fields.name: is mapped twice: 'Name' differs only by case; keep one of the two"
    )


def test_a_catalog_takes_five_hundred_fields() -> None:
    fields = [f"  f{number}: A\n" for number in range(501)]
    assert len(parse(f"{HEAD}fields:\n{''.join(fields[:500])}").fields) == 500
    assert "fields: holds 501 fields, a catalog takes 500; leave some out" in refusal(
        f"{HEAD}fields:\n{''.join(fields)}"
    )


def test_an_object_may_be_fifty_deep() -> None:
    def nested(depth: int) -> str:
        return f"{HEAD}fields: {{a: {'{object: {b: ' * depth}A{'}}' * depth}}}\n"

    assert parse(nested(50)).fields["a"].object is not None
    assert "lies 51 objects deep, Braze takes 50; flatten it" in refusal(nested(51))


def test_names_that_only_profiles_keep_for_themselves_are_free_for_catalogs() -> None:
    names = ("email", "external_id", "email_subscribe", "Country", "events", "inc", "subscription_groups", "2nd-hand")
    sync = parse(f"{HEAD}fields: {{{', '.join(f'{name}: A' for name in names)}}}\n")
    assert tuple(sync.fields) == names


def test_names_that_only_catalogs_refuse_are_free_for_profiles() -> None:
    head = "kind: profiles\nsource: {table: T}\nidentity: {external_id: Id}\n"
    assert list(parse_sync(f"{head}fields: {{shoe size: A, id: B}}\n", PATH).fields) == ["shoe size", "id"]

# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
"""Random tables over every Caspio type, random sync definitions: the mapping against its model in plain Python.

Each seed makes a table and a definition; MAPPING_SEEDS=1000-1200 plays others, MAPPING_SEEDS=17 a single one. What is
compared: the value and the verdict of every field, the JSON object that Braze would get, and fingerprints.
"""

import json
import os
import random
import string
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.destinations.braze.objects import encode_objects, identifier_expression
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.ledger.fingerprints import field_fingerprints, row_fingerprints
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField, ok
from tests.definitions import profiles
from tests.unit import mapping_model as model

DATA = Path(__file__).parents[1] / "data"
FIRST, _, LAST = os.environ.get("MAPPING_SEEDS", "1-50").partition("-")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1)
ROWS, COLUMNS = 120, 20
FEWEST = 100_000  # fields in a run over all seeds
TODAY = datetime(2026, 1, 1).date()
ZONES = ("UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
ODD = ("", " ", "\t", "0", "1", "-1", "+7", "00", "1.0", "1e3", "-0", ".5", "5.", "1,5", "NaN", "inf", "-Infinity", "1_000",
       "٣", "9007199254740993", "99999999999999999999", "yes", " NO ", "On", "true", "FALSE", "null", "None", "2024-02-29",
       "2023-02-29", "2024-02-29T23:59:59", "2024-02-29 12:00", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00+05:45",
       "2024-02-29T12:00:00.123", "2024-1-5", "24:00", "0000-01-01", "9999-12-31", "3001-01-01T00:00:00", "3000-12-31",
       "x" * 255, "x" * 256, "é" * 255, '"}', "\\", '":null,', '{"a":null}', "~", "$time", "a\x00b", "a\x85b", "a\u2028b",
       "20240229", "2024/2/9", "20240229T120000Z", "2024-02-29 12:00:00.123 +0545", "2024-02-29T12:00Z", "2024-02-29T12:00:00-11", "29/02/2024", "1/3/1999",
       "1900-01-01", "1900-01-01T00:00:00Z", "o'brien's 5th AVENUE", "they're 12B", "no\u200b", "\ufeff7", "\u2060 2024-02-29\u200e", "4.125", "1.005",
       "İ", "ß", "ΑΣ", "ﬁ", "\ufeff", "\u200b", "👩‍👩‍👧", "\ud7ff", "a  b\u00a0\u3000c")  # fmt: skip
WORDS = {"yes": "yes", "1": "one", "true": "wahr", "x": None, "0": 0, "null": True, "a": "  ", "red": "rot"}


def corpora() -> list[str]:
    naughty = json.loads((DATA / "naughty-strings/strings.json").read_text(encoding="utf-8"))
    samples = json.loads((DATA / "unicode/samples.json").read_text(encoding="utf-8"))
    return [*naughty, *_strings(samples)]


def _strings(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [
        text
        for inner in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
        for text in _strings(inner)
    ]


TEXTS = (*ODD, *corpora())


def a_text(dice: random.Random) -> str:
    if dice.random() < 0.7:
        return dice.choice(TEXTS)
    return "".join(dice.choices(string.printable + "äßé€漢🙂\u0301", k=dice.randint(0, 12)))


def a_moment(dice: random.Random) -> datetime:
    odd = (datetime(1, 1, 2), datetime(1900, 1, 1), datetime(2024, 2, 29, 23, 59, 59), datetime(3000, 12, 30), datetime(3001, 1, 2), datetime(9999, 12, 30),
           datetime(2024, 3, 31, 1, 30), datetime(2024, 10, 27, 1, 30), datetime(2024, 3, 10, 2, 30), datetime(2024, 11, 3, 1, 30))  # fmt: skip
    return (
        dice.choice(odd)
        if dice.random() < 0.4
        else datetime(1970, 1, 1) + timedelta(seconds=dice.randrange(2_500_000_000))
    )


def a_cell(dice: random.Random, type_: str) -> Any:  # noqa: PLR0911 - a kind, a line
    if dice.random() < 0.1:
        return None
    kind = model.KINDS[type_]
    if kind == "integer":
        return dice.choice(
            (0, 1, -1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), dice.randint(-(10**6), 10**6))
        )
    if kind == "number":
        return dice.choice(
            (
                0.0,
                -0.0,
                1.0,
                0.5,
                2.675,
                4.125,
                -0.125,
                1.005,
                2008.0,
                2.0**53 - 1,
                1e-300,
                1e300,
                2.0**53,
                1e22,
                float("nan"),
                float("inf"),
                dice.uniform(-1e6, 1e6),
            )
        )
    if kind == "boolean":
        return dice.random() < 0.5
    if kind == "moment":
        return a_moment(dice)
    if kind == "list":
        return [None if dice.random() < 0.1 else a_text(dice) for _ in range(dice.choice((0, 1, 2, 3, 501)))]
    return a_text(dice)


def some_words(dice: random.Random, kind: str) -> dict[str, Any]:
    # yes, 1 and true are one value of a Yes/No field.
    words = sorted(WORDS.keys() - {"1", "true"} if kind == "boolean" else WORDS)
    return {word: WORDS[word] for word in dice.sample(words, dice.randint(1, 4))}


def some_steps(dice: random.Random) -> list[Any]:
    names = ("trim", "lower", "upper", "title", "collapse_spaces", "digits")
    return [
        {"truncate": dice.choice((0, 1, 5, 255))} if dice.random() < 0.3 else dice.choice(names)
        for _ in range(dice.randint(0, 3))
    ]


# What each kind of cell may become.
TARGETS = {
    "text": (None, "string", "integer", "number", "boolean", "date", "datetime"),
    "integer": (None, "string", "integer", "number", "boolean"),
    "number": (None, "string", "integer", "number"),
    "boolean": (None, "string", "boolean"),
    "moment": (None, "string", "date", "datetime"),
    "list": (None,),
}


def a_single(dice: random.Random, types: dict[str, str], *, type_: str | None = "any") -> dict[str, Any]:
    name = dice.choice(
        [name for name in types if name != "Id" and (type_ != "string" or model.KINDS[types[name]] != "list")]
    )
    kind = model.KINDS[types[name]]
    spec: dict[str, Any] = {"from": name}
    target = dice.choice(TARGETS[kind]) if type_ == "any" else type_
    if target is not None:
        spec["type"] = target
    if kind == "moment":
        if dice.random() < 0.4:
            spec["time_zone"] = dice.choice(ZONES)
        return spec | ({"empty": ["1900-01-01", "1899-12-30"]} if dice.random() < 0.3 else {})
    if dice.random() < 0.4 and (target in {None, "string"} or kind == "text"):
        spec["map"] = some_words(dice, kind)
    if (kind in {"text", "list"} or target == "string") and dice.random() < 0.6:
        spec["transform"] = some_steps(dice)
    if target == "number" and "transform" not in spec and dice.random() < 0.5:
        spec["transform"] = [{"round": dice.randint(0, 4)}]
    if kind == "text" and target in {None, "date", "datetime"} and dice.random() < 0.2:
        spec["transform"] = [*spec.get("transform", []), {"date": "%d/%m/%Y"}]
        if "map" in spec and target is None:
            spec["type"] = "date"
    if kind != "boolean" and dice.random() < 0.2:
        steps = [step for step in spec.get("transform", []) if not (isinstance(step, dict) and "round" in step)]
        numeric = kind in {"integer", "number"} and "map" not in spec and not steps
        spec["empty"] = [0, "-1"] if numeric else ["1900-01-01", "Yes", "29/02/2024"]
    return spec


def a_member(dice: random.Random, types: dict[str, str], depth: int) -> dict[str, Any]:
    roll = dice.random()
    if roll < 0.15:
        return {"constant": dice.choice(("vip", 7, 1.5, True))}
    if roll < 0.35 and depth:
        return {"object": {key: a_member(dice, types, depth - 1) for key in dice.sample("abcde", dice.randint(1, 3))}}
    return a_single(dice, types)


def a_field(dice: random.Random, types: dict[str, str]) -> dict[str, Any]:
    roll = dice.random()
    if roll < 0.05:
        spec: dict[str, Any] = {"constant": dice.choice(("caspio", 3, 0.25, False))}
    elif roll < 0.25:
        spec = {
            "object": {
                key: a_member(dice, types, 2) for key in dice.sample(["a", "b", "null", "x-y", "é"], dice.randint(1, 4))
            }
        }
    elif roll < 0.35:
        spec = {
            "array": [
                {"object": {key: a_member(dice, types, 1) for key in dice.sample("abc", dice.randint(1, 3))}}
                for _ in range(dice.randint(1, 3))
            ]
        }
    elif roll < 0.45:
        spec = {"array": [a_single(dice, types, type_="string") for _ in range(dice.randint(1, 3))]}
    else:
        spec = a_single(dice, types)
    return spec | ({"on_null": "clear"} if dice.random() < 0.3 else {})


def a_table(dice: random.Random) -> tuple[dict[str, str], list[dict[str, Any]]]:
    types = {"Id": "STRING"} | {
        f"F{number}": type_ for number, type_ in enumerate(dice.sample(sorted(SOURCE_DTYPES), len(SOURCE_DTYPES)))
    }
    rows = [
        {"Id": f"id{number}"} | {name: a_cell(dice, type_) for name, type_ in types.items() if name != "Id"}
        for number in range(ROWS)
    ]
    return types, rows


def attempt(row: dict[str, Any], types: dict[str, str], spec: dict[str, Any], zone: str) -> Any:
    try:
        return model.mapped(row, types, spec, zone)
    except model.Bad:
        return model.Bad
    except model.Skip:
        return model.Skip


def same(made: Any, wanted: Any) -> bool:
    """Equal as JSON: 1 and True are two values, -0.0 and 0.0 are one; a rounded half may fall to either side."""
    if isinstance(made, dict) and isinstance(wanted, dict):
        return made.keys() == wanted.keys() and all(same(made[key], wanted[key]) for key in made)
    if isinstance(made, list) and isinstance(wanted, list):
        return len(made) == len(wanted) and all(map(same, made, wanted))
    if isinstance(made, bool) or isinstance(wanted, bool):
        return made is wanted
    return bool(made == wanted)


compared: list[int] = []  # fields of each seed


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mapping_makes_of_every_field_what_the_model_makes(seed: int) -> None:
    dice = random.Random(seed)
    types, rows = a_table(dice)
    zone = dice.choice(ZONES)
    fields = {f"attribute {number}": a_field(dice, types) for number in range(COLUMNS)}
    definition = {"kind": "profiles", "source": {"table": "T", "time_zone": zone}, "identity": {"external_id": "Id"}, "fields": fields}  # fmt: skip
    sync = profiles(yaml.safe_dump(definition, allow_unicode=True), Path("t.yaml"))
    mapping = ProfileMapping(sync, [CaspioField(name, type_) for name, type_ in types.items()], ATTRIBUTE_VALUES)
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)} | {name: SOURCE_DTYPES[type_] for name, type_ in types.items()}  # fmt: skip
    frame = mapping.apply(
        pl.DataFrame([{"source_pk": number} | row for number, row in enumerate(rows)], schema=schema), today=TODAY
    )
    wanted = [{name: attempt(row, types, spec, zone) for name, spec in fields.items()} for row in rows]
    compared.append(len(wanted) * len(fields))
    differences = []
    json_columns = {column.name for column in mapping.columns if column.encoding == "json"}
    for number, (got, want) in enumerate(zip(frame.to_dicts(), wanted, strict=True)):
        for name, spec in fields.items():
            if want[name] is model.Skip:
                continue
            made = got[name] if got.get(ok(name), True) else model.Bad
            if name in json_columns and isinstance(made, str):
                made = json.loads(made)
            if not same(made, want[name]):
                differences.append(
                    (
                        number,
                        name,
                        spec,
                        f"made {made!r}",
                        f"wanted {want[name]!r}",
                        {field: rows[number][field] for field in _origins(spec)},
                    )
                )
    assert not differences, f"seed {seed}: {len(differences)} differences, the first: {differences[:3]}"
    _check_objects(frame, mapping, fields, wanted)
    _check_fingerprints(frame, mapping)


def _origins(spec: Any) -> set[str]:
    if isinstance(spec, dict):
        own = {spec["from"]} if "from" in spec else set()
        return own.union(*map(_origins, spec.values()))
    return set().union(*map(_origins, spec)) if isinstance(spec, list) else set()


def _check_objects(
    frame: pl.DataFrame, mapping: ProfileMapping, fields: dict[str, Any], wanted: list[dict[str, Any]]
) -> None:
    """The object of each sound row holds what the model makes, nulls where the field clears, and nothing else."""
    sound = [
        number
        for number, want in enumerate(wanted)
        if not {model.Bad, model.Skip} & {value for value in want.values() if isinstance(value, type)}
    ]
    sent = frame[sound].with_columns(
        (pl.col(column.name).is_not_null() | pl.lit(column.on_null == "clear")).alias(f"_send.{column.name}")
        for column in mapping.columns
    )
    objects = encode_objects(
        sent,
        mapping.columns,
        identifier=identifier_expression("external_id"),
        travels=lambda name: f"_send.{name}",
        update_only=False,
    )
    for number, text in zip(sound, objects.to_list(), strict=True):
        kept = {
            name: value
            for name, value in wanted[number].items()
            if value is not None or fields[name].get("on_null") == "clear"
        }
        assert not any(map(float.is_integer, floats(json.loads(text)))), text
        assert same(json.loads(text), kept | {"external_id": f"id{number}", "_update_existing_only": False}), text


def floats(value: Any) -> list[float]:
    """Every number with a point."""
    if isinstance(value, dict | list):
        return [each for inner in (value.values() if isinstance(value, dict) else value) for each in floats(inner)]
    return [value] if isinstance(value, float) else []


def _check_fingerprints(frame: pl.DataFrame, mapping: ProfileMapping) -> None:
    """Equal values, equal fingerprints; different values, different ones. Alone or among others."""
    prints = field_fingerprints(frame, mapping.columns, 7)
    for place, column in enumerate(mapping.columns):
        values = [
            json.dumps(value if value != 0 or isinstance(value, bool) else 0.0)
            for value in frame[column.name].to_list()
        ]
        pairs = set(zip(values, prints[:, place].tolist(), strict=True))
        assert len(pairs) == len(set(values)) == len({print_ for _, print_ in pairs}), column.name
    alone = [row_fingerprints(frame[number], mapping.columns, 7)[0] for number in range(0, frame.height, 10)]
    assert alone == row_fingerprints(frame, mapping.columns, 7).to_list()[::10]


def test_a_run_compares_enough_fields() -> None:
    assert len(SEEDS) < 50 or sum(compared) >= FEWEST

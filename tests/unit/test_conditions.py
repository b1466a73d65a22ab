"""Conditions on rows that were read: they mean what Caspio's SQL means, or are refused."""

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.conditions import Condition
from caspio_sync.mapping.values import SourceKind

ROW: dict[str, Any] = {
    "Spend": 1000.5,
    "Orders": 3,
    "Status": "New ",
    "Note": None,
    "Blank": "",
    "Active": True,
    "Joined": datetime.fromisoformat("2024-05-06T07:08"),
    "Left": None,
    "Select": "a\nb",
}
SCHEMA: dict[str, Any] = {
    "Spend": pl.Float64,
    "Orders": pl.Int64,
    "Status": pl.String,
    "Note": pl.String,
    "Blank": pl.String,
    "Active": pl.Boolean,
    "Joined": pl.Datetime("ms"),
    "Left": pl.Int64,
    "Select": pl.String,
}
KINDS: dict[str, SourceKind] = {
    "Spend": "number",
    "Orders": "integer",
    "Status": "text",
    "Note": "text",
    "Blank": "text",
    "Active": "boolean",
    "Joined": "moment",
    "Left": "integer",
    "Select": "text",
    "Words": "list",
}


def met(text: str) -> bool:
    asked = Condition(text)
    frame = pl.DataFrame([ROW], schema=SCHEMA)
    found = frame.select(asked.met(lambda name: (pl.col(name), KINDS[name]))).to_series().to_list()
    assert found[0] is not None
    return bool(found[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Spend > 1000", True),
        ("Spend>1000.5", False),
        ("Spend >= +1000.5 AND Orders<>2", True),
        ("Spend < -1", False),
        ("Orders = 3.0", True),
        ("Status = 'new'", True),  # without regard to case, and to blanks at the end
        ("Status = N'NEW  '", True),
        ("Status != 'new'", False),
        ("Blank = ''", True),
        ("Note = ''", False),
        # Of an empty cell nothing is known, nor of what is not so of it.
        ("Note <> 'x'", False),
        ("NOT Note = 'x'", False),
        ("NOT (Note = 'x' AND Orders = 3)", False),
        ("NOT (Note = 'x' AND Orders = 4)", True),
        ("Note = 'x' OR Orders = 3", True),
        ("Note IN ('x', 'y')", False),
        ("Note NOT IN ('x', 'y')", False),
        ("Note IS NULL", True),
        ("Note is not null", False),
        ("Left > 0 OR Left IS NULL", True),
        ("Active = 1", True),
        ("Active = 0", False),
        ("Orders IN (1, 2, 3)", True),
        ("Orders NOT IN (1, 2)", True),
        ("Orders BETWEEN 3 AND 4 AND Spend > 1", True),
        ("Orders NOT BETWEEN 3 AND 4", False),
        ("Joined >= '2024-05-06'", True),
        ("Joined > '2024-05-06T07:08:00'", False),
        ("Joined BETWEEN '2024-01-01' AND '2024-05-06'", False),
        ("Status LIKE 'n_w%'", True),
        ("Status LIKE '%e.%'", False),  # no sign has another meaning
        ("Status NOT LIKE 'x%'", True),
        ("[Select] LIKE 'a%b'", True),  # also across lines
        ("[Select] LIKE 'a'", False),
        # AND binds closer than OR, NOT closest.
        ("Orders = 3 OR Orders = 4 AND Spend < 0", True),
        ("(Orders = 3 OR Orders = 4) AND Spend < 0", False),
        ("NOT Orders = 4 AND Spend > 0", True),
    ],
)
def test_a_condition_means_what_it_means_in_the_database(text: str, expected: bool) -> None:
    assert met(text) is expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Status > 'a'", "nobody knows what is less"),
        ("Status BETWEEN 'a' AND 'b'", "nobody knows what is less"),
        ("Spend > '1000'", "a number without quotes"),
        ("Status = 1", "text between single quotes"),
        ("Active = 2", "1 or 0"),
        ("Active = 'yes'", "1 or 0"),
        ("Joined > 20240101", "a date such as"),
        ("Joined > '06/05/2024'", "a date such as"),
        ("Joined > '2024-05-06T00:00:00Z'", "without an offset"),
        ("Status LIKE '[a-c]%'", "use % and _ alone"),
        ("Spend LIKE '1%'", "compares text"),
        ("Words = 'x'", "is a list"),
        ("Words IS NULL", "is a list"),
    ],
)
def test_what_would_not_be_compared_as_it_reads_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        met(text)


@pytest.mark.parametrize(
    "text",
    [
        "Spend",
        "Spend >",
        "Spend > 1 AND",
        "Spend > 1 Orders = 2",
        "AND Spend > 1",
        "Spend > 1)",
        "Spend + 1 > 2",
        "Spend > 1 + 1",
        "LEN(Status) > 2",
        "Joined > GETDATE()",
        "Spend > Orders",
        "1 = 1",
        "Active = true",
        "Orders IN ()",
        "Orders IN (1",
        "Orders IN (SELECT 1)",
        "Orders BETWEEN 1 OR 2",
        "Status LIKE",
        "Status IS 'x'",
        "Spend > 1e5",
        "Orders = 9007199254740993",
        f"Orders = {'1' * 40}",
        f"Spend > {'9' * 400}.5",
        'Status = "x"',
        "'AND' = Status",
        "(Spend > 1",
        "Status = 'x",
        "Spend > 1 -- more",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ConfigurationError)):
        Condition(text)


def test_its_fields_are_named_once_each() -> None:
    assert Condition("[Select] = 'Orders' OR Spend > 1 AND (Spend < 9 OR Orders IS NULL)").fields == (
        "Select",
        "Spend",
        "Orders",
    )

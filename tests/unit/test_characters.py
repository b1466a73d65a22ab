import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.characters import BLANKS, CONTROLS, trimmed, without_controls
from caspio_sync.text_columns import trimmed_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C-1\u200b", "C-1"),
        ("\ufeffno", "no"),
        ("\u200e\u202aada@example.com\u202c\u200f", "ada@example.com"),
        ("\u2060 \u00a0\u3000", ""),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),  # a joiner inside
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),  # an emoji ends with a variation selector
        ("two  words", "two  words"),
    ],
)
def test_blanks_at_the_ends(text: str, expected: str) -> None:
    assert trimmed(text) == expected
    assert pl.select(trimmed_values(pl.lit(text))).item() == expected


def test_every_space_python_knows_is_a_blank() -> None:
    assert {chr(code) for code in range(0x110000) if chr(code).isspace()} <= set(BLANKS)


def test_no_blank_is_a_sign_one_can_see() -> None:
    visible = {
        each for each in BLANKS if unicodedata.category(each) not in {"Zs", "Zl", "Zp", "Cf", "Cc", "Mn", "Lo", "So"}
    }
    assert not visible


@given(st.text())
def test_both_readings_are_one(text: str) -> None:
    assert pl.select(trimmed_values(pl.lit(text))).item() == trimmed(text)
    assert pl.select(pl.lit(text).str.replace_all(CONTROLS, "")).item() == without_controls(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b", "ab"),
        ("line\n\tend\r", "line\n\tend\r"),
        ("\ud83d half", "\ufffd half"),
        ("\x1b[2J", "[2J"),
        ("\x9b2J", "2J"),
    ],
)
def test_control_characters_leave(text: str, expected: str) -> None:
    assert without_controls(text) == expected

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.json_documents import Number, UnreadableJsonError, json_text, read_json, text_of, texts_in

SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner), max_leaves=20)


@given(DOCUMENTS)
def test_a_document_is_read_as_json_reads_it(document: Any) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, Number):
            return int(value)
        if isinstance(value, list):
            return [plain(each) for each in value]
        return {name: plain(each) for name, each in value.items()} if isinstance(value, dict) else value

    assert plain(read_json(json.dumps(document).encode())) == document
    assert plain(read_json(json.dumps(document, ensure_ascii=False).encode())) == document


@pytest.mark.parametrize(
    "written", ["1.10", "0", "-3", "1e5", "123456789012345678901234567890", "0.1000000000000000001"]
)
def test_a_number_stays_as_it_was_written(written: str) -> None:
    assert text_of(read_json(f'{{"a": {written}}}'.encode())["a"]) == written


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ("null", None),
        ("true", "true"),
        ("false", "false"),
        ('""', ""),
        ('"x"', "x"),
        ('{"a": [1, 2.50]}', '{"a":[1,2.50]}'),
    ],
)
def test_a_value_is_the_text_of_a_cell(given_: str, text: str | None) -> None:
    assert text_of(read_json(given_.encode())) == text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{}x", b"nul", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1, "a": 2}', b'{"a": "\xff"}',
        b'{"a": {"b": 1, "b": 1}}', b"[" * 100_000, b"[" * 300 + b"]" * 300, b'{"a": "\n"}', b'{"a": 01}',
        b'{"a": 1, "a\\u0000": 2}', '{"a": "\\u0000"}'.encode("utf-16"), '{"a": 1}'.encode("utf-16-le"),
    ],
)  # fmt: skip
def test_what_has_two_readings_or_none_is_refused_without_a_value(body: bytes) -> None:
    with pytest.raises(UnreadableJsonError) as refused:
        read_json(body)
    assert len(str(refused.value)) < 60


def test_halves_of_emoji_and_control_signs_leave_a_text() -> None:
    found = read_json(b'{"a\\u0000": "x\\ud83dy\\u0007z", "b": ["\\ud83d\\ude00"]}')
    assert found == {"a": "x\ufffdyz", "b": ["\U0001f600"]}


def test_every_text_within_is_found_and_no_name() -> None:
    found = read_json(b'{"a": "x", "b": [{"c": "y"}, 7, true, null]}')
    assert list(texts_in(found)) == ["x", "y", "7"]


@given(DOCUMENTS)
def test_a_document_is_written_as_it_was_read(document: Any) -> None:
    found = read_json(json.dumps(document).encode())
    assert read_json(json_text(found).encode()) == found


@pytest.mark.parametrize("written", ["1e999", "-1e999", "9" * 30, "1.10", "-0", "1E+2"])
def test_a_number_is_written_as_it_was(written: str) -> None:
    assert json_text([Number(written)]) == f"[{written}]"

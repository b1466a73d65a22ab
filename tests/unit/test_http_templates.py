"""Addresses and bodies as templates: whatever a value holds, it stays a value."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.destinations.http.templates import Address, Template, UnusableError
from caspio_sync.json_paths import path

HOSTILE = ['"', '","admin":true,"x":"', "\\", "\n", "\u2028", "{{ 7*7 }}", "{% raw %}", "</script>", "\x00", "🦀", "'"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_a_value_in_a_body_is_the_value_that_is_read(value: Any) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    read = orjson.loads(Template('{"a": {{ value }}, "b": [{{ value | tojson }}]}').render({"value": value}))
    assert read == {"a": value, "b": [value]}


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_leaves_its_place(value: str) -> None:
    body = Template(
        '{"people": [{% for row in rows %}{"name": {{ row.name | trim }}}{% if not loop.last %},{% endif %}{% endfor %}]}'
    )
    assert orjson.loads(body.render({"rows": [{"name": value}, {"name": "b"}]})) == {
        "people": [{"name": value.strip()}, {"name": "b"}]
    }
    address = Address("https://host.example/people/{{ key }}?q={{ key }}").render({"key": value})
    assert address.startswith("https://host.example/people/%")
    assert address.count("/") == 4
    assert address.isascii()


@pytest.mark.parametrize("value", ["", ".", "..", None])
def test_what_would_lead_elsewhere_is_no_piece_of_an_address(value: Any) -> None:
    with pytest.raises(UnusableError):
        Address("https://host.example/people/{{ key }}").render({"key": value})


def test_a_value_with_slashes_or_dots_in_it_stays_one_piece() -> None:
    render = Address("https://host.example/people/{{ key }}").render
    assert render({"key": "../admin"}) == "https://host.example/people/..%2Fadmin"
    assert render({"key": "a/b?c#d"}) == "https://host.example/people/a%2Fb%3Fc%23d"
    assert render({"key": 12}) == "https://host.example/people/12"


@pytest.mark.parametrize(
    "text",
    [
        "https://{{ key }}/people",
        "https://{{ key }}.host.example/",
        "{{ key }}://host.example",
        "https://host.example{{ key }}",
        "https://user:password@host.example/",
        "ftp://host.example/",
        "https://host.example\\@other.example/",
        "//host.example/",
        "https://host.example/{% if key %}{% endif %}",
        "",
    ],
)
def test_a_host_is_what_stands_in_the_file(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Address(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ row | attr('__class__') }}",
        "{{ row.__init__.__globals__ }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 2 ** 1000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ row | safe }}",
        "{{ row | e }}",
        "{{ row | xmlattr }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 'x' | indent(1000000000) }}",
        "{{ row.keys() }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% macro x() %}{% endmacro %}",
        "{% for each in range(10) %}{% endfor %}",
        "{{ cycler('a') }}",
        "{% set row.x = 1 %}",
        "{{ unknown }}",
    ],
)
def test_a_template_reaches_nothing_but_values(text: str) -> None:
    with pytest.raises((ValueError, UnusableError)):
        Template(text).render({"row": {"a": 1}})


def test_the_words_of_a_template_that_fails_hold_no_value() -> None:
    with pytest.raises(UnusableError) as caught:
        Template("{{ row[row.a] }}").render({"row": {"a": "zoe@example.com"}})
    assert "zoe" not in str(caught.value)


def test_a_template_says_which_line_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="line 2 of the template"):
        Template('{"a": 1,\n"b": {{ }}}')


def test_a_path_leads_to_places_and_no_further() -> None:
    document = {"errors": [{"row": 1}, {"row": 2}], "a b": [[5]]}
    assert [*path("$.errors[*].row").found(document)] == [1, 2]
    assert [*path("$['a b'][0][0]").found(document)] == [5]
    assert [*path("$.errors[7].row").found(document)] == []
    assert [*path("$").found(document)] == [document]
    for wrong in ("errors", "$..errors", "$.errors[?(@.row)]", "$.errors[", "$.errors[-1]", "", "$x"):
        with pytest.raises(ValueError, match="is no path"):
            path(wrong)

"""Addresses and bodies that a sync file writes as Jinja templates, each value escaped where it is put in.

In a body every `{{ … }}` becomes JSON, quotes included; in an address it is percent-encoded. Nothing is escaped by hand
and nothing can be left unescaped: filters that mark text as safe are not there. A template computes nothing else: it
calls no function, reaches no attribute that begins with `_`, and repeats no text a billion times.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jinja2
import orjson
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

# What neither makes text safe, nor makes much of little.
_FILTERS = (
    "abs", "capitalize", "d", "default", "dictsort", "first", "float", "int", "items", "join", "last", "length", "list",
    "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select", "selectattr", "sort",
    "string", "sum", "title", "trim", "truncate", "unique", "upper",
)  # fmt: skip
_REFUSED = (nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends, nodes.Block, nodes.Macro, nodes.Call)
_ORIGIN = re.compile(r"https?://[^\s/?#{}\\@]+(?=[/?#]|$)", re.IGNORECASE)
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_SHOWN = 200


class _Numbers(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which nothing is called, and `*` and `%` are for numbers."""

    intercepted_binops = frozenset({"*", "%", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(each, int | float) for each in (left, right)):
            raise SecurityError(f"`{operator}` is for numbers, and `**` for nobody")
        return super().call_binop(context, operator, left, right)

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ARG002 - none is
        return False


def _environment(finalize: Any) -> _Numbers:
    made = _Numbers(undefined=jinja2.StrictUndefined, finalize=finalize, autoescape=False, keep_trailing_newline=True)
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in _FILTERS} | {"tojson": lambda value: value}
    return made


def _json(value: Any) -> str:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises, naming it
    return orjson.dumps(value).decode()


def _percent_encoded(value: Any) -> str:
    """A value as a piece of an address; empty, or dots alone, it would lead to another place there."""
    text = value if isinstance(value, str) else _json(value)
    if value is None or text in {"", ".", ".."}:
        raise UnusableError("an empty value, or one of dots alone, cannot stand in an address")
    return quote(text, safe="")


_BODIES, _ADDRESSES = _environment(_json), _environment(_percent_encoded)


class UnusableError(ValueError):
    """A row's values do not go into the template; the words hold none of them."""


class Template:
    """A body as the file writes it.

    Args:
        text: the template.

    Raises:
        ValueError: it cannot be read, or asks for what no template may; the words name its line.
    """

    def __init__(self, text: str) -> None:
        self.names, self._template = _compiled(_BODIES, text)

    def render(self, values: Mapping[str, Any]) -> bytes:
        """The body for these values.

        Raises:
            UnusableError: they do not go into it.
        """
        return _rendered(self._template, values).encode()


class Address:
    """Where requests go: scheme and host as the file writes them, the rest perhaps with values.

    Args:
        text: such as https://host/people/{{ key }}.

    Raises:
        ValueError: it is none, or a value could choose the host.
    """

    def __init__(self, text: str) -> None:
        found = _ORIGIN.match(text)
        if found is None or "{%" in text or "{#" in text:
            raise ValueError(
                "is no address whose host stands there as it is; write such as https://host.example/people/{{ key }}, "
                "with values behind the host alone, and without a name or password in it"
            )
        self.origin = found[0]
        self.names, self._template = _compiled(_ADDRESSES, text)
        # As people see it: what is in its place may be somebody's address.
        self.shown = f"{self.origin.partition('://')[2]}{text[found.end() :].partition('?')[0]}"[:_SHOWN]
        self.literal = _EXPRESSION.sub("", text)

    def render(self, values: Mapping[str, Any]) -> str:
        """The address for these values; as `Template.render` raises."""
        return _rendered(self._template, values)


def _compiled(environment: _Numbers, text: str) -> tuple[frozenset[str], jinja2.Template]:
    try:
        parsed = environment.parse(text)
        for node in parsed.find_all(_REFUSED):
            what = "call" if isinstance(node, nodes.Call) else type(node).__name__.lower()
            raise ValueError(f"line {node.lineno} of the template: a {what} is not for templates of a sync file")
        return frozenset(meta.find_undeclared_variables(parsed)), environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno} of the template: {error.message}") from None


def _rendered(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    try:
        return template.render(values)
    except UnusableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is; its words may quote values
        raise UnusableError(f"the template cannot be filled in ({type(error).__name__})") from None

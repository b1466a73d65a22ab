"""What is wrong with a sync file, in the words of the file: line by line, with what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from caspio_sync.mapping.document import Document, Fault, Finding, Location

Model = TypeVar("Model", bound=BaseModel)


def find_faults(model: type[Model], document: Document, faults: Iterable[Fault]) -> tuple[Model | None, list[Finding]]:
    """The definition, or everything that is wrong with it.

    Args:
        model: the definition of the file's kind.
        document: the file.
        faults: what is wrong besides: names and what they stand for, which the model does not know.
    """
    findings = [Finding(document.line(at), f"{_path(at)}: {text}") for at, text in faults]
    definition = None
    try:
        definition = model.model_validate(document.data)
    except ValidationError as error:
        findings += [_finding(document, details, model) for details in error.errors(include_url=False)]
    # One mistake may be met on two ways; the reader wants it once.
    findings = list(dict.fromkeys(findings))
    return (None if findings else definition), findings


def _finding(document: Document, details: ErrorDetails, model: type[BaseModel]) -> Finding:
    # Names of union branches stand in pydantic's locations; only what the file itself holds is shown.
    at: Location = ()
    for part in details["loc"]:
        at = (*at, part) if (*at, part) in document.lines else at
    key = str(details["loc"][-1]) if details["loc"] else ""
    match details["type"]:
        case "extra_forbidden":
            text = f"unknown key{_nearest(key, model)}; remove it or correct its spelling"
        case "missing":
            return Finding(document.line(at), f"{_path((*at, key))}: is missing; add it")
        case "value_error":
            text = str(details["ctx"]["error"])
        case _:
            text = f"{_plain(details['msg'])}; correct it"
    return Finding(document.line(at), f"{_path(at)}: {text}")


def _plain(message: str) -> str:
    return message.replace("Input should be", "must be").replace("String should", "must")


def _nearest(key: str, model: type[BaseModel]) -> str:
    close = get_close_matches(key, _keys(model.model_json_schema(by_alias=True)), n=1, cutoff=0.7)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _keys(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [key for item in schema for key in _keys(item)]
    if not isinstance(schema, dict):
        return []
    properties = schema.get("properties", {})
    return [*properties, *(key for value in schema.values() for key in _keys(value))]


def _path(at: Location) -> str:
    return ".".join(str(part) for part in at) or "the file"

"""Rows as a message tells them: read strictly, for they are sent as they are told and not read again.

What is not plain tells nothing here, and its row is read from Caspio: a name that stands twice, NaN, half an emoji, a
form, parameters of the address, a row that stands twice. `messages.py` reads leniently which rows a message is about.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from caspio_sync.hints import Message
from caspio_sync.receiver.messages import KEY, key_of
from caspio_sync.sealed import Sealer

MOST_BYTES = 100_000  # of a row; a larger one is read again
# What a message says of itself (5.3); where a template has a row's fields beside them, these are none of them.
_OF_THE_MESSAGE = frozenset(
    {
        *("eventid", "messageid", "callid", "webhookid", "accountid", "secret"),
        *("eventdate", "eventtype", "objectname", "objectfields"),
    }
)


class Told(NamedTuple):
    """What a message tells.

    Args:
        secret: that stands in it; "" where there is none.
        rows: by PK_ID, as JSON.
    """

    secret: str
    rows: Mapping[int, bytes]


def told_by(body: bytes) -> Told:
    """What a message tells plainly; nothing where it is not plain."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_plain, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return Told("", {})
    if not isinstance(found, dict):
        return Told("", {})
    words = {name.lower(): value for name, value in found.items()}
    secret = words.get("secret")
    if "data" in words:
        rows = words["data"] if isinstance(words["data"], list) else [words["data"]]
    else:  # a template without `data`
        rows = [{name: value for name, value in found.items() if name.lower() not in _OF_THE_MESSAGE}]
    return Told(secret if isinstance(secret, str) else "", dict(_rows(rows)))


def with_rows(message: Message, told: Told, secrets: Sequence[str], sealer: Sealer) -> Message:
    """The message with the rows that it says were added, encrypted; without those in which a secret stands."""
    hidden = [each.encode() for each in secrets]
    kept = {pk: row for pk, row in told.rows.items() if not any(each in row for each in hidden)}
    hints = (
        each._replace(payload=sealer.seal(kept[each.source_pk]))
        if each.type == "insert" and each.source_pk in kept
        else each
        for each in message.hints
    )
    return message._replace(hints=tuple(hints))


def _rows(rows: Iterable[Any]) -> Iterable[tuple[int, bytes]]:
    keyed = [(_key(row), row) for row in rows if isinstance(row, dict)]
    times = Counter(key for key, _ in keyed)
    for key, row in keyed:
        if key is None or times[key] > 1:
            continue
        try:
            text = orjson.dumps(row)
        except TypeError:  # half an emoji, a number of more than 64 bits
            continue
        if len(text) <= MOST_BYTES:
            yield key, text


def _key(row: Mapping[str, Any]) -> int | None:
    return next((key_of(value) for name, value in row.items() if name.lower() == KEY.lower()), None)


def _plain(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("no number")
    return number

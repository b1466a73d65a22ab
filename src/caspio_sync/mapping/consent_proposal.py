"""Which column of a table seems to hold which subscription state, by its name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from caspio_sync.mapping.proposed_lines import bare
from caspio_sync.schemas import CaspioField

# A channel inside a name; `emailsent` is not `emails` and `ent`.
_CHANNEL = re.compile(
    r"(?P<email>e?mails?(?!en[dt]))|(?P<push>push)|(?P<sms>sms)|(?P<whatsapp>whatsapp)|(?P<in_app>inapp)"
    r"|(?P<content_card>contentcard)"
)
_STATE = re.compile(r"(?:marketing)?(?:consent|optin|subscri(?:be|bed|ption)|permission)(?:status|state)?")


def scopes_of(states: Sequence[CaspioField]) -> dict[str, CaspioField]:
    """Columns that seem to hold a global state, by `email` and `push`; one that names no channel is the e-mail's."""
    found: dict[str, CaspioField] = {}
    for field in states:
        channel, said = channel_of(field)
        if channel in {"email", "push", None} and _STATE.fullmatch(said):
            found.setdefault(channel or "any", field)
    unnamed = found.pop("any", None)
    return found if unnamed is None else {"email": unnamed, **found}


def groups_of(
    states: Sequence[CaspioField], scopes: Mapping[str, CaspioField]
) -> Iterator[tuple[Literal["email", "sms"], CaspioField]]:
    """Columns that may hold the state of a subscription group, with its channel; an example where there is none."""
    for field in [each for each in states if each not in scopes.values()] or [CaspioField("Field", "YES/NO")]:
        yield "sms" if channel_of(field)[0] == "sms" else "email", field


def channel_of(field: CaspioField) -> tuple[str | None, str]:
    """The channel that a column's name speaks of, None for none; and the rest of the name."""
    name = bare(field)
    found = _CHANNEL.search(name)
    return found and found.lastgroup, _CHANNEL.sub("", name, count=1)

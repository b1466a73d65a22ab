"""What ActiveCampaign holds of some rows: a contact, its values and its lists, in two calls a contact; its tags in one.

An account-wide search takes a hundred contacts a call, and tells neither values nor lists in any documented way; so a
verification asks for each contact of its sample.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.answers import MissingError
from caspio_sync.destinations.activecampaign.consent import SUBSCRIBED, state_of
from caspio_sync.destinations.activecampaign.objects import SEPARATOR, STANDARD
from caspio_sync.engine.read_back import Held
from caspio_sync.mapping.automations import is_automation
from caspio_sync.mapping.consent import LIST_PREFIX
from caspio_sync.mapping.numbers import number_text
from caspio_sync.mapping.segments import SEGMENT_PREFIX, is_segment
from caspio_sync.mapping.tags import TAG_PREFIX, WORDS_PREFIX, is_tag, is_tag_words
from caspio_sync.moments import instant_of_text
from caspio_sync.schemas import MappedColumn

_CALLS = 2  # a contact: by its address for the id, by the id for the rest; for tags one more


class ContactsReadBack:
    """The `ReadBack` of contacts.

    Args:
        account: where they are.
        columns: what is to be read.
    """

    usual_sample = 200
    stretch_rows = 200
    thing: Literal["profile", "item", "deal"] = "profile"
    unreadable: Sequence[str] = ()

    def __init__(self, account: ActiveCampaignAccount, columns: Sequence[MappedColumn]) -> None:
        self._account, self._client, self._directory = account, account.client, account.directory
        self._tags = account.tags
        self._reads_tags = any(is_tag(each.name) or is_tag_words(each.name) for each in columns)
        self.readable: Sequence[MappedColumn] = [each for each in columns if not is_automation(each.name)]

    @property
    def requests(self) -> int:
        """As `ReadBack.requests`."""
        return self._client.requests

    def planned(self, rows: int) -> tuple[int, float, float]:
        """As `ReadBack.planned`; there is one limit."""
        calls = (_CALLS + self._reads_tags) * rows
        seconds = calls / self._account.calls_per_second
        return calls, seconds, seconds

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """As `ReadBack.held`."""
        return [await self._one(key) for key in keys]

    async def _one(self, key: str) -> Held:
        numbers = await self._client.ids(key)
        if len(numbers) != 1:
            return "ambiguous" if numbers else "missing"
        try:
            told = await self._client.contact(numbers[0])
        except MissingError:
            return "missing"
        values = {str(each["field"]): each.get("value") for each in told.get("fieldValues") or ()}
        lists = {str(each["list"]): str(each["status"]) for each in told.get("contactLists") or ()}
        tags = set((await self._tags.of(numbers[0])).values()) if self._reads_tags else set()
        return {"own": told.get("contact") or {}, "values": values, "lists": lists, "tags": tags}

    async def values(
        self,
        column: MappedColumn,
        held: Sequence[Mapping[str, Any]],
        keys: Sequence[str],  # noqa: ARG002 - all of it was read with the contact
    ) -> pl.DataFrame:
        """As `ReadBack.values`."""
        if column.role != "attribute":
            on = await self._directory.list_id(column.name.removeprefix(LIST_PREFIX))
            found = [state_of(each["lists"].get(on)) for each in held]
        elif is_segment(column.name):
            on = await self._directory.list_id(column.name.removeprefix(SEGMENT_PREFIX))
            found = ["Yes" if each["lists"].get(on) == SUBSCRIBED else None for each in held]
        elif is_tag_words(column.name):
            prefix = column.name.removeprefix(WORDS_PREFIX)
            words = {
                number: name.removeprefix(prefix)
                for name, number in (await self._tags.ids()).items()
                if name.startswith(prefix)
            }
            found = [SEPARATOR.join(words[tag] for tag in each["tags"] if tag in words) or None for each in held]
        elif is_tag(column.name):
            tag = await self._tags.id(column.name.removeprefix(TAG_PREFIX))
            found = ["Yes" if tag in each["tags"] else None for each in held]
        elif column.name in STANDARD:
            found = [_text(each["own"].get(column.name)) for each in held]
        else:
            field = await self._directory.field(column.name)
            found = [None if field is None else _text(each["values"].get(field.id)) for each in held]
        return pl.DataFrame({"value": pl.Series(found, dtype=pl.String)}).with_columns(type=pl.lit("str"))

    @staticmethod
    def agrees(column: MappedColumn, wanted: pl.Series, held: pl.DataFrame) -> pl.DataFrame:
        """As `ReadBack.agrees`: choices in any order and with or without separators at the ends; times as instants."""
        frame = held.with_columns(wanted=wanted)
        value, asked = pl.col("value"), _comparable(column)
        nothing = value.is_null() & asked.fill_null("").eq("")
        return frame.select(
            equal=nothing | _same(column, value, asked).fill_null(value=False),
            retyped=pl.lit(value=False).repeat_by(1).list.first(),
        )


def _comparable(column: MappedColumn) -> pl.Expr:
    wanted = pl.col("wanted")
    if isinstance(column.dtype, pl.List):
        return wanted.list.sort().list.join(SEPARATOR)
    if column.dtype == pl.Float64:
        return number_text(wanted)
    if column.dtype == pl.Boolean:
        return pl.when(wanted).then(pl.lit("Yes")).when(~wanted).then(pl.lit("No"))
    return wanted.cast(pl.String)


def _same(column: MappedColumn, value: pl.Expr, wanted: pl.Expr) -> pl.Expr:
    choices = value.str.split(SEPARATOR).list.filter(pl.element() != "").list.sort().list.join(SEPARATOR)
    if isinstance(column.dtype, pl.List):
        return choices == wanted
    if column.name == "phone":
        return value.str.replace_all(r"\D", "") == wanted.str.replace_all(r"\D", "")
    same_instant = (instant_of_text(value) == instant_of_text(wanted)).fill_null(value=False)
    return (value == wanted) | (choices == wanted) | same_instant


def _text(value: Any) -> str | None:
    """A value as text; nothing for an empty one, and for the zero form of an empty date."""
    text = "" if value is None else str(value)
    return None if re.fullmatch(r"(?:0000-00-00(?: 00:00:00)?)?", text) else text

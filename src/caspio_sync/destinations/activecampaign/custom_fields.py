"""Custom fields, lists, tags and automations held against the mapping.

Fields, options and tags that are missing are made where the sync allows it.

Nothing is deleted or changed: a field of another type, and a list or an automation that is not there, are for a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import TITLE
from caspio_sync.destinations.activecampaign.directory import MULTIPLE, CustomField
from caspio_sync.destinations.activecampaign.objects import is_custom
from caspio_sync.destinations.activecampaign.values import CHOSEN, FIELD_TYPES
from caspio_sync.engine.destination import Missing
from caspio_sync.engine.keeping import missing
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import MappedColumn

_DATED = {"date": "date_value", "datetime": "datetime_value"}  # by the rule that the values follow


@dataclass(frozen=True, slots=True)
class Wanted:
    """A custom field as the mapping needs it.

    Args:
        name: as the sync file has it.
        type: of the field that is made where there is none.
        said: whether the file says the type.
        options: what may be chosen, as far as the file tells.
    """

    name: str
    type: str
    said: bool
    options: Sequence[str]


class CustomFields:
    """The `Keeper` of contacts: it makes custom fields, their options, and tags.

    Args:
        account: where they are.
        sync: the definition.
        mapping: of its columns.
        create: whether the sync lets missing ones be made.
    """

    def __init__(self, account: ActiveCampaignAccount, sync: ProfileSync, mapping: RowMapping, *, create: bool) -> None:
        self._client, self._directory, self._tags = account.client, account.directory, account.tags
        self._automations = account.automations
        self._sync, self._create = sync, create
        codes = {check.column: check.code for check in mapping.checked}
        self._wanted = [
            _wanted(sync, column, codes.get(column.name, "")) for column in mapping.columns if is_custom(column)
        ]

    async def look(self) -> Missing:
        """As `Keeper.look`: the fields, options and tags that `keep` would make."""
        lines, faults = [], []
        if self._sync.tag_words and not self._create:
            at = self._sync.where("tags", "from")
            faults.append(f"{at}: tags.from: words of rows become tags: allow it by `options: {{create: true}}`")
        named: dict[str, str] = {}  # id of a field, by whatever name it was found
        for name in self._sync.lists:
            try:
                await self._directory.list_id(name)
            except ConfigurationError as error:
                faults.append(f"{self._sync.where('lists', name)}: {error}")
        faults += await self._automation_faults()
        for wanted in self._wanted:
            there = await self._directory.field(wanted.name)
            if there is None:
                lines.append(f"make the custom field {wanted.name} ({_shape(wanted.type, wanted.options)})")
            elif (first := named.setdefault(there.id, wanted.name)) != wanted.name:
                faults.append(
                    f"{self._sync.where('fields', wanted.name)}: fields.{wanted.name}: is the same field there as "
                    f"'{first}', by its title and by its personalisation tag; keep one of the two"
                )
            elif (fault := _misfit(wanted, there)) is not None:
                faults.append(f"{self._sync.where('fields', wanted.name)}: fields.{wanted.name}: {fault}")
            elif new := _new_options(wanted, there):
                lines.append(f"add options to {wanted.name}: {', '.join(new)}")
        lines += [f"make the tag {name}" for name in self._sync.named_tags if await self._tags.id(name) is None]
        return missing(self._sync, TITLE, lines, faults, create=self._create)

    async def _automation_faults(self) -> list[str]:
        faults = []
        for name in self._sync.automations:
            try:
                await self._automations.named(name)
            except ConfigurationError as error:
                faults.append(f"{self._sync.where('automations', name)}: {error}")
        return faults

    async def keep(self, expected: Missing) -> None:
        """As `Keeper.keep`: look again and make what is missing; what somebody made meanwhile is taken as it is."""
        if not expected.lines:
            return
        self._directory.forget_fields()
        for wanted in self._wanted:
            made = False
            if await self._directory.field(wanted.name) is None:
                made = await self._client.make_field(wanted.name, wanted.type)
                self._directory.forget_fields()
            there = await self._directory.field(wanted.name)
            if there is None:
                raise ConfigurationError(
                    f"{self._sync.where('fields', wanted.name)}: ActiveCampaign has a custom field of a title like "
                    f"'{wanted.name}' in another case; write it as it is spelled there, or its personalisation tag"
                )
            if (fault := _misfit(wanted, there)) is not None:
                raise ConfigurationError(f"{self._sync.where('fields', wanted.name)}: fields.{wanted.name}: {fault}")
            if new := _new_options(wanted, there):
                await self._client.add_options(there.id, new, len(there.options) + 1)
                self._directory.forget_fields()
            if made:
                await self._client.show_field(there.id)
        for name in self._sync.named_tags:
            if await self._tags.id(name) is None:
                await self._tags.make(name)


def _wanted(sync: ProfileSync, column: MappedColumn, code: str) -> Wanted:
    mapping = sync.fields[column.name]
    said = mapping.type if mapping.type in FIELD_TYPES else None
    dated = next((kind for kind, rule in _DATED.items() if rule == code), "text")
    kind = said or ("listbox" if isinstance(column.dtype, pl.List) else dated)
    words = (mapping.map or {}).values() if kind in CHOSEN else ()
    return Wanted(
        column.name, kind, said is not None, tuple(dict.fromkeys(str(word) for word in words if word is not None))
    )


def _misfit(wanted: Wanted, there: CustomField) -> str | None:
    """Why values would not be understood by the field that is there."""
    several = wanted.type in MULTIPLE
    if there.type == wanted.type or (not wanted.said and not several and there.type not in {*MULTIPLE, *_DATED}):
        return None
    if several and there.type in MULTIPLE and not wanted.said:
        return None
    return (
        f"ActiveCampaign's field is of type {there.type}, and the mapping makes {wanted.type} of it; correct `type`, "
        "or name another field"
    )


def _new_options(wanted: Wanted, there: CustomField) -> list[str]:
    return [each for each in wanted.options if each not in there.options] if there.type in CHOSEN else []


def _shape(kind: str, options: Sequence[str]) -> str:
    return f"{kind}: {', '.join(options)}" if options else kind

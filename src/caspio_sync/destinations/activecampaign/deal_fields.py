"""Pipelines, stages and fields of deals held against the mapping, and the fields made that are missing.

Pipelines and stages are a person's work, and nothing is deleted or changed.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

import polars as pl

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import TITLE
from caspio_sync.destinations.activecampaign.deal_directory import FIELDS, MULTIPLE, DealRefusedError, Pipeline
from caspio_sync.engine.destination import Missing
from caspio_sync.engine.keeping import missing
from caspio_sync.kinds.deals.definition import DealSync
from caspio_sync.kinds.deals.mapping import DealMapping
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.schemas import MappedColumn

# Of the types of deals' own fields (ActiveCampaign, deals), by the rule that the values follow.
_DATED = {"date_value": "date", "datetime_value": "datetime"}
_SEVERAL = "textarea"  # of several words where a field is made: what may be chosen nobody has said


class DealFields:
    """The `Keeper` of deals.

    Args:
        account: where they are.
        sync: the definition.
        mapping: of its columns.
        create: whether the sync lets missing fields be made.
    """

    def __init__(self, account: ActiveCampaignAccount, sync: DealSync, mapping: DealMapping, *, create: bool) -> None:
        self._client, self._directory = account.client, account.deals
        self._sync, self._create = sync, create
        codes = {check.column: check.code for check in mapping.checked}
        self._wanted = [(each.name, _type_of(each, codes.get(each.name, ""))) for each in mapping.own_fields]

    async def look(self) -> Missing:
        """As `Keeper.look`: the fields that `keep` would make.

        Raises:
            ConfigurationError: a pipeline or stage that the file names is not there, or nobody would own the deals.
        """
        faults, lines = [fault async for fault in self._place_faults()], []
        for label, kind in self._wanted:
            if (there := await self._directory.field(label)) is None:
                lines.append(f"make the deal field {label} ({kind})")
            elif (fault := _misfit(kind, str(there.get("fieldType")))) is not None:
                faults.append(f"{self._sync.where('fields', label)}: fields.{label}: {fault}")
        twice = ", or has it more than once"
        return missing(self._sync, TITLE, lines, faults, create=self._create, besides=twice)

    async def keep(self, expected: Missing) -> None:
        """As `Keeper.keep`: look again and make what is missing; what somebody made meanwhile is taken as it is."""
        if not expected.lines:
            return
        self._directory.forget_fields()
        for label, kind in self._wanted:
            if await self._directory.field(label) is None:
                body = {"dealCustomFieldMetum": {"fieldLabel": label, "fieldType": kind}}
                await self._client.ask_once(FIELDS, "making a field of deals", body)
                self._directory.forget_fields()

    async def _place_faults(self) -> AsyncIterator[str]:
        """What is wrong with the pipelines and stages that the file itself names; a row's own are its own verdict."""
        sync, found = self._sync, list[Pipeline]()
        for place, title in _titles("pipeline", sync.pipeline):
            try:
                found.append(await self._directory.pipeline(title))
            except DealRefusedError as error:
                yield f"{sync.where(*place)}: {'.'.join(place)}: '{title}': {error.message_text}"
        if sync.deal_owner is None and (idle := [each.title for each in found if not each.assigns]):
            yield (
                f"{sync.where('pipeline')}: pipeline: '{idle[0]}' assigns nobody to a deal; say `deal_owner:`, or let "
                "the pipeline assign"
            )
        if sync.stage is None or not found or sync.pipeline.source_field is not None:
            return
        for place, title in _titles("stage", sync.stage):
            try:
                await self._directory.stage(found[0], title)
            except DealRefusedError as error:
                yield f"{sync.where(*place)}: {'.'.join(place)}: '{title}': {error.message_text}"


def _titles(name: str, mapping: FieldMapping) -> Iterator[tuple[Sequence[str], str]]:
    """The titles that a file names, and where."""
    if mapping.constant is not None:
        yield (name, "constant"), str(mapping.constant)
    for word, title in (mapping.map or {}).items():
        if title is not None:
            yield (name, "map", word), str(title)


def _misfit(wanted: str, there: str) -> str | None:
    """Why values would not be understood by the field that is there; what else is wrong, the account refuses."""
    if there == "currency":  # it takes cents, and a currency of its own
        return (
            f"{TITLE}'s field holds money, which this version writes as the deal's `value` alone; name a number field"
        )
    if there in {"date", "datetime"} and wanted not in {"date", "datetime"}:
        return f"{TITLE}'s field holds a {there}; add `type: {there}`, or name another field"
    if (there in MULTIPLE) != (wanted == _SEVERAL) and (there in MULTIPLE or there not in {"text", "textarea"}):
        return f"{TITLE}'s field is of type {there}; a list field needs one of several choices or of text, and no other"
    return None


def _type_of(column: MappedColumn, code: str) -> str:
    if isinstance(column.dtype, pl.List):
        return _SEVERAL
    return _DATED.get(code) or ("number" if column.dtype in {pl.Float64, pl.Int64} else "text")

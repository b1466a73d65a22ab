"""`caspio-sync init`: a first sync file, guessed from a table's fields."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync import startup
from caspio_sync.cli.findings import refuse_missing
from caspio_sync.cli.show import OUT, show_table
from caspio_sync.clients.caspio import Source
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.catalog_proposal import propose_catalog
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.engagement_proposal import propose_engagement
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.proposal import propose_sync
from caspio_sync.mapping.sync_file import AnySync, parse_sync
from caspio_sync.run.connect import CONNECT
from caspio_sync.schemas import CaspioField
from caspio_sync.settings import Settings, current_settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TABLE_LINE = re.compile(r"(?m)^  table: .*$")
_PAGING_TYPES = ("AUTONUMBER", "INTEGER")
_PROPOSALS = {"profiles": propose_sync, "catalog": propose_catalog, "engagement": propose_engagement}


def init(
    name: Annotated[str, typer.Argument(help="Name of the sync: its file becomes syncs/NAME.yaml.")],
    table: Annotated[str | None, typer.Option("--table", help="The Caspio table to read.")] = None,
    view: Annotated[str | None, typer.Option("--view", help="The Caspio view to read, instead of a table.")] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="What the rows become: profiles, or the items of a catalog; or engagement: what comes back to them.",
        ),
    ] = "profiles",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there already.")] = False,
) -> None:
    """Write a first sync file: reads the fields of a Caspio table and proposes what each becomes in Braze.

    Of `--kind engagement` it proposes which columns take what Braze learns of people.

    It is a guess by name and type, with comments on what to look at. Only Caspio's field list is read, no row, and
    nothing is sent. Then `check` says what is left to correct, and `plan` what a run would do.

    Example: `caspio-sync init customers --table Customers`
    """
    source = _source(table, view)
    if kind not in _PROPOSALS:
        raise typer.BadParameter(f"--kind {kind} is none of {', '.join(_PROPOSALS)}")
    if kind == "engagement" and source.is_view:
        raise typer.BadParameter(
            f"an engagement return writes rows, and a view ({source.name}) is not written; "
            "name the table below it with --table"
        )
    settings = current_settings()
    path = _free_path(settings, name, force=force)
    fields = asyncio.run(_fields(settings, source))
    text = propose(path.stem, source, fields, kind)
    definition = parse_sync(text, path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        startup.share(path.parent)
    path.write_text(text, encoding="utf-8")
    startup.share(path)
    _show(path, name, definition, fields)


def propose(name: str, source: Source, fields: Sequence[CaspioField], kind: str = "profiles") -> str:
    """Text of the sync file for a table or a view.

    Raises:
        ConfigurationError: no field can name a profile or an item, none can page the view, or no column takes what
            Braze tells.
    """
    text = _PROPOSALS[kind](name, source.name, fields)
    if not source.is_view:
        return text
    paging = f"  page_by: {_paging_field(source, fields)}    # unique whole numbers: pages follow it"
    lines = f'  view: "{source.name}"\n{paging}'
    return _TABLE_LINE.sub(lambda _: lines, text, count=1)


def _paging_field(source: Source, fields: Sequence[CaspioField]) -> str:
    # A view's PK_ID is text; a whole-number field of its base table keeps an order (Caspio, 2.3).
    whole = [each for each in fields if each.type in _PAGING_TYPES]
    unique = [each for each in whole if each.unique]
    if not unique:
        there = ", ".join(each.name for each in whole) or "none"
        raise ConfigurationError(
            f"{source}: no unique whole-number field to page by (whole numbers: {there}); "
            "add an Autonumber field of the base table to the view, or sync the table"
        )
    return min(unique, key=lambda each: _PAGING_TYPES.index(each.type)).name


def _source(table: str | None, view: str | None) -> Source:
    if (table is None) == (view is None):
        raise typer.BadParameter("name one of --table and --view")
    return Source(str(table or view), is_view=view is not None)


def _free_path(settings: Settings, name: str, *, force: bool) -> Path:
    path = settings.sync_file(name)
    if not _NAME.fullmatch(path.stem):
        raise ConfigurationError(f"{name!r} is no name for a sync; use letters, digits, - and _")
    if path.exists() and not force:
        raise ConfigurationError(f"{path}: is there already; choose another name, or write over it with --force")
    return path


async def _fields(settings: Settings, source: Source) -> list[CaspioField]:
    connect = CONNECT.get()
    async with connect.caspio(settings, connect.clock) as caspio:
        await refuse_missing(caspio, source)
        return await caspio.fields(source)


def _show(path: Path, name: str, definition: AnySync, fields: Sequence[CaspioField]) -> None:
    types = {each.name: each.type for each in fields}
    returns = isinstance(definition, EngagementSync)
    roles = _returned_roles(definition) if isinstance(definition, EngagementSync) else _sent_roles(definition)
    OUT.print(f"[bold]{escape(str(path))}[/] written; what was guessed:\n", soft_wrap=True)
    mapped = [(each, types[each], roles[each]) for each in types if each in roles]
    show_table("", ("Caspio field", "type", "from Braze" if returns else "in Braze"), mapped)
    if left := [each for each in types if each not in roles]:
        OUT.print(f"\nnot mapped, look at the comments in the file: {escape(', '.join(left))}", soft_wrap=True)
    if definition.source.cursor is None and not returns:
        OUT.print("no cursor: the table has no Timestamp field that is stamped on update, so every run reads all rows")
    look_at = "a run writes over what these columns hold" if returns else "time zone, consent, what Braze need not know"
    OUT.print(
        f"\nNext: read the file line by line ({look_at}), then\n  caspio-sync check {name}\n  caspio-sync plan {name}"
    )


def _sent_roles(definition: ProfileSync | CatalogSync) -> dict[str, str]:
    """What each Caspio field is to Braze."""
    guessed = {str(each.source_field): attribute for attribute, each in definition.fields.items()}
    named = "item" if definition.kind == "catalog" else "profile"
    roles = guessed | {definition.identity.source_field: f"{definition.identity.kind} (names the {named})"}
    if definition.source.cursor is not None:
        roles[definition.source.cursor] = "cursor (tells what changed)"
    return roles


def _returned_roles(definition: EngagementSync) -> dict[str, str]:
    """What each Caspio field takes from Braze, or finds the row by."""
    identity, returned = definition.identity, definition.returned
    finds = {field: f"{kind} (finds the row)" for kind, field in identity if field is not None}
    states = {each.column: returned.attribute(scope) for scope, each in returned.states.items()}
    measures = {column: f"{each.measure} as {each.written_as}" for column, each in definition.fields.items()}
    return finds | states | measures

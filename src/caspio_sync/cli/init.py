"""`caspio-sync init`: a first sync file, guessed from a table's fields."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync import startup
from caspio_sync.caspio.client import Source
from caspio_sync.caspio.windows_zones import stamped_zone
from caspio_sync.cli.examine_rows import refused_names
from caspio_sync.cli.findings import refuse_missing
from caspio_sync.cli.posted_fields import as_declared, described, posted_fields
from caspio_sync.cli.show import OUT, show_table
from caspio_sync.cli.sync_name import new_name
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.kind import kind_named, kind_of
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.guesses import NOTHING
from caspio_sync.mapping.sync_file import load_sync, parse_sync
from caspio_sync.mapping.values import sinks_at
from caspio_sync.places import POSTS_PATH
from caspio_sync.registry import DEFAULT_DESTINATION, DESTINATIONS, KINDS
from caspio_sync.schemas import CaspioField
from caspio_sync.settings import Settings, current_settings
from caspio_sync.sync_files import SyncFiles

_TABLE_LINE = re.compile(r"(?m)^  table: .*$")
_OF_ROWS = re.compile(r"(?m)^(?:# when:|on_update:|  # no cursor).*\n")  # what is said of rows, and not of posts
_PAGING_TYPES = ("AUTONUMBER", "INTEGER")


def init(
    name: Annotated[
        str,
        typer.Argument(parser=new_name, metavar="NAME", help="Name of the sync: its file becomes syncs/NAME.yaml."),
    ],
    table: Annotated[str | None, typer.Option("--table", help="The Caspio table to read.")] = None,
    view: Annotated[str | None, typer.Option("--view", help="The Caspio view to read, instead of a table.")] = None,
    posts: Annotated[
        str | None, typer.Option("--posts", help="The path of posts to read instead, such as /in/orders.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="What the rows become: profiles, the items of a catalog, events, purchases, or triggers: messages; or "
            "engagement: what comes back to them.",
        ),
    ] = "profiles",
    destination: Annotated[
        str, typer.Option("--destination", help="Where the rows are to go, such as activecampaign.")
    ] = DEFAULT_DESTINATION,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there already.")] = False,
) -> None:
    """Write a first sync file: reads the fields of a Caspio table and proposes what each becomes in Braze.

    Of `--kind engagement` it proposes which columns take what Braze learns of people.

    It is a guess by name and type, with comments on what to look at. Only Caspio's field list is read, no row (of
    `--posts` the first that are kept, of which no value is shown), and nothing is sent. Then `check` says what is left
    to correct, and `plan` what a run would do.

    Example: `caspio-sync init customers --table Customers`
    """
    source = _source(table, view, posts)
    if kind not in KINDS:
        raise typer.BadParameter(f"--kind {kind} is none of {', '.join(KINDS)}")
    if posts is not None and not kind_named(kind).definition.takes_posts:
        taking = ", ".join(each for each in KINDS if kind_named(each).definition.takes_posts)
        raise typer.BadParameter(f"--kind {kind} reads no posts; there are: {taking}")
    if destination not in DESTINATIONS or kind not in sinks_at(destination):
        taking = ", ".join(each for each in DESTINATIONS if kind in sinks_at(each))
        raise typer.BadParameter(f"--destination {destination} takes no {kind}; there are: {taking}")
    if kind_named(kind).returns and source.is_view:
        raise typer.BadParameter(
            f"an engagement return writes rows, and a view ({source.name}) is not written; "
            "name the table below it with --table"
        )
    settings = current_settings()
    path = _free_path(settings, name, force=force)
    if posts is None:
        fields = asyncio.run(_fields(settings, source))
        text = propose(path.stem, source, fields, kind, written=_written(settings, source), destination=destination)
    else:
        found = posted_fields(settings, posts)
        fields = as_declared(found)
        text = propose(path.stem, source, fields, kind, destination=destination, alone=True)
        text = _OF_ROWS.sub("", _TABLE_LINE.sub(lambda _: "\n".join(described(posts, found)), text, count=1))
    definition = parse_sync(text, path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        startup.share(path.parent)
    path.write_text(text, encoding="utf-8")
    startup.share(path)
    _show(path, name, definition, fields)


def propose(
    name: str,
    source: Source,
    fields: Sequence[CaspioField],
    kind: str = "profiles",
    *,
    written: Mapping[str, str] = NOTHING,
    destination: str = DEFAULT_DESTINATION,
    alone: bool = False,
) -> str:
    """Text of the sync file for a table or a view.

    Args:
        name: of the sync.
        source: table or view.
        fields: its fields, as Caspio declares them.
        kind: of the sync.
        written: columns that other syncs write already, and what they hold.
        destination: where its rows are to go.
        alone: whether nothing belongs to a row in other tables.

    Raises:
        ConfigurationError: no field can name a profile or an item, none can page the view, or no column takes what
            Braze tells.
    """
    zone = stamped_zone(fields)
    returned = {column: what for each in KINDS for column, what in kind_named(each).guess_back(fields).items()}
    text = kind_named(kind).propose(
        name,
        source.name,
        fields,
        time_zone=zone,
        returned={**returned, **written},
        destination=destination,
        alone=alone,
    )
    if kind in (sinks := sinks_at(destination)):
        text += "".join(f"{line}\n" for line in sinks[kind].proposed)
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


def _source(table: str | None, view: str | None, posts: str | None) -> Source:
    if sum(each is not None for each in (table, view, posts)) != 1:
        raise typer.BadParameter("name one of --table, --view and --posts")
    if posts is not None and not POSTS_PATH.fullmatch(posts):
        raise typer.BadParameter(f"{posts} is no path to post to, such as /in/orders")
    return Source(str(table or view or posts), is_view=view is not None)


def _free_path(settings: Settings, name: str, *, force: bool) -> Path:
    # Never the examples, which the sandbox lends to an empty folder.
    path = SyncFiles(settings.syncs).path(name)
    if path.exists() and not force:
        raise ConfigurationError(f"{path}: is there already; choose another name, or write over it with --force")
    return path


def _written(settings: Settings, source: Source) -> dict[str, str]:
    """The columns of a table that the syncs of the folder write, and what they hold."""
    files, written = SyncFiles(settings.syncs), {}
    for name in files.names:
        with contextlib.suppress(CaspioSyncError):  # `check` says what is wrong with it
            other = load_sync(files.path(name))
            if other.source.name.lower() == source.name.lower():
                written.update(other.columns_back())
    return written


async def _fields(settings: Settings, source: Source) -> list[CaspioField]:
    connect = CONNECT.get()
    async with connect.caspio(settings, connect.clock) as caspio:
        await refuse_missing(caspio, source)
        fields = await caspio.fields(source)
        refused = await refused_names(caspio, source, fields)
    if refused:
        OUT.print(
            f"left out, for Caspio does not take these words of SQL as names of fields: {', '.join(refused)}; rename "
            "them in Caspio where they are needed"
        )
    return [field for field in fields if field.name not in refused]


def _show(path: Path, name: str, definition: Sync, fields: Sequence[CaspioField]) -> None:
    types = {each.name: each.type for each in fields}
    kind, roles = kind_of(definition), definition.roles()
    title = destination_of(definition).title
    OUT.print(f"[bold]{escape(str(path))}[/] written; what was guessed:\n", soft_wrap=True)
    mapped = [(each, types[each], roles[each]) for each in types if each in roles]
    show_table(
        "",
        (
            "field" if definition.source.posts else "Caspio field",
            "type",
            f"from {title}" if kind.returns else f"in {title}",
        ),
        mapped,
    )
    if left := [each for each in types if each not in roles]:
        OUT.print(f"\nnot mapped, look at the comments in the file: {escape(', '.join(left))}", soft_wrap=True)
    if definition.source.cursor is None and definition.source.posts is None and not kind.returns:
        OUT.print("no cursor: the table has no Timestamp field that is stamped on update, so every run reads all rows")
    OUT.print(
        f"\nNext: read the file line by line ({kind.words.look_at.format(title=title)}), then\n"
        f"  caspio-sync check {name}\n"
        f"  caspio-sync plan {name}\n  caspio-sync run {name} --limit 100\n"
        "Schedules run it once its line `enabled: false` is removed."
    )

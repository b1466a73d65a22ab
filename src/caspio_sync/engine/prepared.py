"""A sync held against its table: everything that can be refused before the first row is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain

from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.caspio.query import and_, identifier
from caspio_sync.caspio.raw_rows import Sieve
from caspio_sync.caspio.records import RecordReader
from caspio_sync.clock import Clock
from caspio_sync.engine.drift import Drift, FieldsThen, find_drift
from caspio_sync.engine.kind import mapping_of
from caspio_sync.engine.posted import PostedRows, PostedSource, Rows, posted_rows
from caspio_sync.engine.private_fields import refuse_private
from caspio_sync.engine.sharing import Shares, beside_others
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.mapping.definition import Source as Described
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.schemas import CaspioField
from caspio_sync.settings import Settings

_PK_ID = CaspioField("PK_ID", "AUTONUMBER", unique=True)
_SOME_KEY = 10**9  # as long as keys become


@dataclass(frozen=True, slots=True)
class Requests:
    """Where the sync's `erasure:` names whom to erase.

    Args:
        source: the table of requests, or the sync's own source.
        selected: the fields that are read.
        key: the field the source is paged by.
        where: condition; None for all rows.
        mapping: makes keys of these fields, as the sync does.
        max_keys: how many may be named anew at once.
        place: `file:line` of the section.
    """

    source: Source
    selected: list[CaspioField]
    key: CaspioField
    where: str | None
    mapping: RowMapping
    max_keys: int
    place: str


NO_DRIFT = Drift()
ACCEPTED = "the fields were accepted as they are (--accept-schema)"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sync held against its table: everything that can be refused before rows are read.

    Args:
        definition: the sync file, without what its `owner:` writes.
        shares: the sync beside the others of its folder.
        mapping: the definition held against the fields.
        source: table or view.
        fields: the source's fields, by name.
        key: the field the source is paged by.
        requests: whom to erase; None where the sync does not say.
        drift: what changed in the source since the last run.
        posted: the rows, where they are posts.
        private: fields of Caspio that no sync may read (`refuse_private`).
    """

    definition: Sync
    shares: Shares
    mapping: RowMapping
    source: Source
    fields: dict[str, CaspioField]
    key: CaspioField
    requests: Requests | None = None
    drift: Drift = NO_DRIFT
    posted: PostedRows | None = None
    private: tuple[str, ...] = ()

    def rows(self, caspio: CaspioClient) -> Rows:
        """What its rows are read from."""
        return caspio if self.posted is None else self.posted

    def keeping(self, layouts: Mapping[int, Sequence[str]]) -> "Prepared":
        """The same, with the consent columns of former mappings (`Ledger.mapping_fields`) kept in the mapping."""
        return replace(self, mapping=self.mapping.keeping(chain.from_iterable(layouts.values())))

    @property
    def selected(self) -> list[CaspioField]:
        """The fields that are read."""
        return [self.fields[name] for name in self.mapping.source_fields]

    @property
    def asked(self) -> list[CaspioField]:
        """The fields that say which posts are the sync's (`source.only`), as far as they are not mapped as well."""
        own = self.mapping.source_fields
        return [self.fields[name] for name in self.definition.source.only if name not in own]

    @property
    def read_fields(self) -> list[CaspioField]:
        """`selected`, what `asked` adds, and the cursor field, which dates the rows."""
        cursor = self.definition.source.cursor
        dated = [] if cursor is None or cursor in self.mapping.source_fields else [self.fields[cursor]]
        return [*self.selected, *self.asked, *dated]

    def reader(
        self,
        caspio: CaspioClient,
        where: str | None,
        clock: Clock,
        *,
        limit: int | None = None,
        sieve: Sieve | None = None,
    ) -> RecordReader:
        """Reads the sync's rows that meet a condition; `limit` of them at most, sifted by `sieve`."""
        rows = self.rows(caspio)
        return RecordReader(
            rows,
            self.source,
            fields=self.read_fields,
            key_field=self.key.name,
            where=where,
            batch_size=self.definition.batch_size,
            parallel=rows.connections,
            limit=limit,
            clock=clock,
            sieve=sieve,
        )

    @property
    def select(self) -> list[str]:
        """Names of `read_fields`, the key before them."""
        return list(dict.fromkeys([self.key.name, *(field.name for field in self.read_fields)]))


def calls_a_page(caspio: CaspioClient, prepared: Prepared) -> int:
    """Calls that a page of the sync's rows takes: more than one where its fields are more than an address holds."""
    key = identifier(prepared.key.name)
    where = and_(prepared.definition.source.where, f"{key}>{_SOME_KEY} AND {key}<={_SOME_KEY}")
    return prepared.rows(caspio).calls_a_page(
        prepared.source, select=prepared.select, where=where, order_by=f"{key} ASC"
    )


async def prepare(
    settings: Settings, name: str, caspio: CaspioClient, known: KnownSource | None = None, *, accept: bool = False
) -> Prepared:
    """Load a sync and hold it against its table.

    Args:
        settings: accounts, limits, places.
        name: name of the sync.
        caspio: where the table is.
        known: the source's fields as the last run found them; a field that changed since stops alone where it can.
            None takes the fields as they are: every one that is mapped must be there and fit.
        accept: take the fields as they are, whatever they were.

    Raises:
        ConfigurationError: anything about the file, the table or its fields that a person has to change.
        TransientError: Caspio did not answer.
    """
    shares = beside_others(settings, load_sync(settings.sync_file(name)))
    definition = shares.definition
    described = definition.source
    posted = posted_rows(settings, described)
    source = source_of(described)
    fields = {each.name: each for each in await (posted or caspio).fields(source)}
    then = None if known is None else FieldsThen.read(known)
    if posted is not None or then is None or then.source != str(source):  # a post's fields are the file's own
        drift, as_mapped = NO_DRIFT, fields
    elif accept:
        drift, as_mapped = Drift((ACCEPTED,)), fields
    else:
        drift = find_drift(definition, fields, then)
        as_mapped = {**fields, **{each: then.fields[each] for each in drift.stopped}}
    mapping = mapping_of(definition, list(as_mapped.values()), absent=drift.stopped)
    _check_cursor(definition, fields)
    key = _paged_by(definition, fields)
    requests = await _requests(definition, source, fields, key, caspio)
    prepared = Prepared(definition, shares, mapping, source, as_mapped, key, requests, drift, posted, settings.private)
    _refuse_private(prepared)
    return prepared


def _refuse_private(prepared: Prepared) -> None:
    """Whatever the rows of the sync, and those that name whom to erase, are read by."""
    definition, requests, described = prepared.definition, prepared.requests, prepared.definition.source
    if prepared.posted is None:  # what others post is no table of Caspio
        read = {name: definition.where("source") for name in prepared.select}
        roles = definition.roles()
        read |= {name: f"{definition.where('source')} ({roles[name]})" for name in read if name in roles}
        conditions = {definition.where("source", "where"): described.where}
        refuse_private(prepared.private, described.name, read=read, conditions=conditions)
    if requests is not None:
        refuse_private(
            prepared.private,
            requests.source.name,
            read={each.name: requests.place for each in requests.selected},
            conditions={requests.place: requests.where},
        )


def source_of(described: Described) -> Source:
    """Where a sync's rows are, for whoever reads them."""
    if described.posts is not None:
        return PostedSource(described.posts)
    return Source(described.name, is_view=described.view is not None)


def fields_then(prepared: Prepared, known: KnownSource | None) -> FieldsThen | None:
    """What the ledger is to remember of the source after this run; None where it knows that already."""
    drift, then = prepared.drift, None if known is None else FieldsThen.read(known)
    same_source = then is not None and then.source == str(prepared.source)
    lines = then.lines if then is not None and same_source and not drift.lines else drift.lines
    found = FieldsThen(str(prepared.source), prepared.fields, drift.stopped, lines)
    return None if found == then else found


def key_mapping(prepared: Prepared) -> RowMapping:
    """What makes keys of the sync's own rows, and nothing else."""
    return mapping_of(prepared.definition.of_keys(), list(prepared.fields.values()))


async def _requests(
    definition: Sync, source: Source, fields: dict[str, CaspioField], key: CaspioField, caspio: CaspioClient
) -> Requests | None:
    """The `erasure:` section held against the table it names."""
    erasure = definition.erasure
    if erasure is None:
        return None
    if erasure.table is not None:
        source, key = Source(erasure.table), _PK_ID
        fields = {each.name: each for each in await caspio.fields(source)}
        if erasure.key not in fields:
            raise ConfigurationError(
                f"{definition.where('erasure', 'key')}: {source} has no field {erasure.key}; "
                f"name the one with the key: {', '.join(fields)}"
            )
    mapping = mapping_of(definition.of_keys(erasure.key), list(fields.values()))
    selected = [fields[name] for name in mapping.source_fields]
    place = definition.where("erasure")
    return Requests(source, selected, key, erasure.where, mapping, erasure.max_keys, place)


# Part of every suite's digest: raised when the gate judges the same row by the same file otherwise than before.
_JUDGED_VERSION = 2


def suite_digest(definition: Sync, mapping: RowMapping) -> str:
    """Hash of what the gate asks, whoever answers: under another one, held rows are judged again."""
    checks = [(check.column, check.code) for check in mapping.checked]
    asked = definition.gate.model_dump_json(exclude={"great_expectations"})
    text = f"{_JUDGED_VERSION}{asked}{checks}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def read_digest(prepared: Prepared, *, whole: bool = False) -> str:
    """Hash of everything under which a cursor means what it says; another one asks for a full sweep.

    The suite is not part of it: under another one the held rows alone are read again (`Situation.owed`).

    Args:
        prepared: the sync.
        whole: as if no field were stopped. Rows read without a field are not known to be read up to anywhere once it is
            back, so a cursor that moved meanwhile bears another digest.
    """
    definition, mapping = prepared.definition, prepared.mapping
    stopped = () if whole else mapping.stopped
    posted = [definition.source.model_dump_json(include={"fields", "only"})] if prepared.posted is not None else []
    text = "\0".join([str(prepared.source), str(definition.source.where), mapping.digest, *stopped, *posted])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def sweep_digest(prepared: Prepared) -> str:
    """Hash of what a sweep reads, of the key that numbers it, and of what it judges rows under."""
    suite = suite_digest(prepared.definition, prepared.mapping)
    text = f"{read_digest(prepared)} {prepared.key.name} {suite}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _paged_by(definition: Sync, fields: dict[str, CaspioField]) -> CaspioField:
    """The field that pages are read by: PK_ID of a table, `page_by` of a view."""
    name = definition.source.page_by
    if name is None:
        return _PK_ID
    if name not in fields:
        whole = [each.name for each in fields.values() if each.type in {"AUTONUMBER", "INTEGER"}]
        raise ConfigurationError(
            f"{definition.where('source', 'page_by')}: source.page_by: the view has no field {name}; "
            f"name a unique whole-number field: {', '.join(whole) or 'it has none, add one to the view'}"
        )
    return fields[name]


def _check_cursor(definition: Sync, fields: dict[str, CaspioField]) -> None:
    cursor = definition.source.cursor
    if cursor is None:
        return
    found = fields.get(cursor)
    stamped = [each.name for each in fields.values() if each.type == "TIMESTAMP" and each.on_update]
    remedy = (
        f"name one of {', '.join(stamped)}" if stamped else "add a Timestamp field with both boxes ticked in Caspio"
    )
    place = f"{definition.where('source', 'cursor')}: source.cursor"
    if found is None:
        raise ConfigurationError(f"{place}: the table has no field {cursor}; {remedy}, or leave the cursor out")
    if found.type != "TIMESTAMP" or not found.on_update:
        raise ConfigurationError(
            f"{place}: {cursor} ({found.type}) is not stamped on update, so changes would be missed; "
            f"{remedy}, or leave the cursor out to read all rows every time"
        )

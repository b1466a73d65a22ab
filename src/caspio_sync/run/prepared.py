"""A sync held against its table: everything that can be refused before the first row is read."""

from dataclasses import dataclass
from hashlib import blake2b

from caspio_sync.clients.caspio import CaspioClient, Source
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.mapping.definition import ProfileSync, load_sync
from caspio_sync.mapping.profiles import ProfileMapping
from caspio_sync.run.drift import Drift, FieldsThen, find_drift
from caspio_sync.schemas import CaspioField
from caspio_sync.settings import Settings

NO_DRIFT = Drift()
ACCEPTED = "the fields were accepted as they are (--accept-schema)"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sync held against its table: everything that can be refused before rows are read.

    Args:
        definition: the sync file.
        mapping: the definition held against the fields.
        source: table or view.
        fields: the source's fields, by name.
        key: the field the source is paged by.
        drift: what changed in the source since the last run.
    """

    definition: ProfileSync
    mapping: ProfileMapping
    source: Source
    fields: dict[str, CaspioField]
    key: CaspioField
    drift: Drift = NO_DRIFT

    @property
    def selected(self) -> list[CaspioField]:
        """The fields that are read."""
        return [self.fields[name] for name in self.mapping.source_fields]


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
    definition = load_sync(settings.sync_file(name))
    described = definition.source
    source = Source(str(described.table or described.view), is_view=described.view is not None)
    fields = {each.name: each for each in await caspio.fields(source)}
    then = None if known is None else FieldsThen.read(known)
    if then is None or then.source != str(source):
        drift, as_mapped = NO_DRIFT, fields
    elif accept:
        drift, as_mapped = Drift((ACCEPTED,)), fields
    else:
        drift = find_drift(definition, fields, then)
        as_mapped = {**fields, **{each: then.fields[each] for each in drift.stopped}}
    mapping = ProfileMapping(definition, list(as_mapped.values()), absent=drift.stopped)
    _check_cursor(definition, fields)
    key = fields[described.page_by] if described.page_by else CaspioField("PK_ID", "AUTONUMBER", unique=True)
    return Prepared(definition, mapping, source, as_mapped, key, drift)


def fields_then(prepared: Prepared, known: KnownSource | None) -> FieldsThen | None:
    """What the ledger is to remember of the source after this run; None where it knows that already."""
    drift, then = prepared.drift, None if known is None else FieldsThen.read(known)
    same_source = then is not None and then.source == str(prepared.source)
    lines = then.lines if then is not None and same_source and not drift.lines else drift.lines
    found = FieldsThen(str(prepared.source), prepared.fields, drift.stopped, lines)
    return None if found == then else found


def suite_digest(definition: ProfileSync, mapping: ProfileMapping) -> str:
    """Hash of what the gate asks: under another one, held rows are judged again."""
    text = f"{definition.gate.model_dump_json()}{[(check.column, check.code) for check in mapping.checked]}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def read_digest(prepared: Prepared, *, whole: bool = False) -> str:
    """Hash of everything under which a cursor means what it says; another one asks for a full sweep.

    The suite is not part of it: under another one the held rows alone are read again (see again.py).

    Args:
        prepared: the sync.
        whole: as if no field were stopped. Rows read without a field are not known to be read up to anywhere once it is
            back, so a cursor that moved meanwhile bears another digest.
    """
    definition, mapping = prepared.definition, prepared.mapping
    stopped = () if whole else mapping.stopped
    text = "\0".join([str(prepared.source), str(definition.source.where), mapping.digest, *stopped])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _check_cursor(definition: ProfileSync, fields: dict[str, CaspioField]) -> None:
    cursor = definition.source.cursor
    if cursor is None:
        return
    found = fields.get(cursor)
    stamped = [each.name for each in fields.values() if each.type == "TIMESTAMP" and each.on_update]
    remedy = (
        f"name one of {', '.join(stamped)}" if stamped else "add a Timestamp field with both boxes ticked in Caspio"
    )
    if found is None:
        raise ConfigurationError(f"source.cursor: the table has no field {cursor}; {remedy}, or leave the cursor out")
    if found.type != "TIMESTAMP" or not found.on_update:
        raise ConfigurationError(
            f"source.cursor: {cursor} ({found.type}) is not stamped on update, so changes would be missed; "
            f"{remedy}, or leave the cursor out to read all rows every time"
        )

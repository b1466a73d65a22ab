"""Sync files, through their reading and what `check` looks at without an account."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cronsim import CronSim

from caspio_sync.engine.kind import mapping_of
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.sandbox.data import FIELDS
from caspio_sync.sandbox.products import BOOK_FIELDS, PRODUCT_FIELDS
from caspio_sync.schemas import CaspioField
from caspio_sync.sync_files import shipped_examples
from tests.fuzz.judging import Target

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(data: bytes) -> list[str]:
    """Read the file, fit its mapping to a table that has the fields of every shipped one, and look at its schedule."""
    with tempfile.TemporaryDirectory(prefix="caspio-sync-fuzz-") as folder:
        path = Path(folder) / "fuzz.yaml"
        path.write_bytes(data)
        sync = load_sync(path)
        mapping_of(sync, _fields())
        if sync.schedule is not None:
            next(CronSim(sync.schedule.cron, _NOW))
        return []


@cache
def _fields() -> list[CaspioField]:
    names = {each["Name"]: each["Type"] for each in (*FIELDS, *PRODUCT_FIELDS, *BOOK_FIELDS)}
    more = {"Guid": "GUID", "Photo": "FILE", "Dates": "LIST-DATE/TIME", "Numbers": "LIST-NUMBER"}
    return [CaspioField(name, kind, on_update=kind == "TIMESTAMP") for name, kind in (names | more).items()]


def _shipped() -> Iterator[bytes]:
    """The shipped files without their comments, which would only be mutated."""
    for path in sorted(shipped_examples().glob("*.yaml")):
        lines = (line.partition(" #")[0].rstrip() for line in path.read_text("utf-8").splitlines())
        yield "\n".join(line for line in lines if line and not line.startswith("#")).encode()


_SMALL = b"""kind: profiles
source: {table: Customers, cursor: ChangedAt, time_zone: UTC}
identity: {external_id: CustomerNo}
fields:
  first_name: FirstName
"""

TARGET = Target(
    "sync_files",
    run,
    words=(
        *(b"transform: ", b"trim", b"{round: 2}", b"{phone: {from: Country, region: GB}}", b"object: ", b"array: ", b"constant: "),
        *(b"on_null: clear", b"type: date", b"map: {yes: subscribed}", b"\n  require: [email_subscribe]", b"erasure: {where: ", b"\nschedule: "),
        *(b"kind: catalog", b"kind: engagement", b"\ngate:\n  max_quarantined_share: ", b"\nfreshness: 5m", b"!!python/object:os.system ", b"&a [*a, *a]"),
    ),
    seeds=(
        *_shipped(),
        _SMALL,
        _SMALL.decode().encode("utf-16"),
        _SMALL + "  ort: {constant: Köln}\n".encode("cp1252"),
        _SMALL.replace(b"\n", b"\r\n"),
        _SMALL + b"  code: {constant: 00123}\n",
        _SMALL + b"  a: {object: {b: {object: {c: City}}}}\n  tags: {array: [City, Country]}\n",
        _SMALL + b"schedule: '* * * * *'\nfreshness: 1h\nerasure: {where: \"Email IS NULL\"}\n",
        _SMALL + b"gate:\n  expectations:\n    - {type: expect_column_values_to_not_be_in_set, kwargs: {column: first_name, value_set: [x]}}\n",
        (b"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
        b"d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\nkind: profiles\n"),
        b"a: &a {b: *a}\nkind: profiles\n",
        b"kind: profiles\nkind: catalog\n",
        b"",
        b"- a\n",
    ),
)  # fmt: skip

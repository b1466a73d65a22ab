"""Contacts of one sync: profiles in ActiveCampaign."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import polars as pl

from caspio_sync.delivery.requests import Envelope
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import CONNECTIONS
from caspio_sync.destinations.activecampaign.contacts_back import ContactsReadBack
from caspio_sync.destinations.activecampaign.custom_fields import CustomFields
from caspio_sync.destinations.activecampaign.endpoint import ContactsEndpoint
from caspio_sync.destinations.activecampaign.eraser import ContactEraser
from caspio_sync.destinations.activecampaign.objects import encode_contacts
from caspio_sync.destinations.activecampaign.requests import (
    AFTER,
    ENTER,
    FEW,
    IMPORT,
    IMPORTS,
    MOVE,
    OPT_OUT,
    OPT_OUT_IMPORT,
    QUIET_IMPORT,
    SYNC,
)
from caspio_sync.destinations.activecampaign.settings import CALLS_PER_SECOND
from caspio_sync.destinations.activecampaign.values import CONTACT_VALUES
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.writes import ENROL, ENROL_WAITS, KNOWN_AS, LEFT_BEHIND, MARKED, QUIET, Write
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.ledger.compare import opt_out, repeated, send
from caspio_sync.mapping.field import Strict
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.segments import is_segment
from caspio_sync.schemas import KEY


class ContactOptions(Strict):
    """What only ActiveCampaign asks of a sync.

    Args:
        create: whether custom fields, options of them, and tags are made that are missing there.
        automations: "changes": automations run on what changes, and not on contacts that a whole read or a resend
            brings; "run": on these as well.
    """

    create: bool = False
    automations: Literal["changes", "run"] = "changes"


class ContactSink(Sink[ActiveCampaignAccount]):
    """Contacts of one sync."""

    values = CONTACT_VALUES
    envelopes = (SYNC, MOVE, AFTER, ENTER, OPT_OUT, IMPORT, QUIET_IMPORT, OPT_OUT_IMPORT)
    when_lost = "repeat"  # values, addresses and states are set, not added to
    options: ClassVar = ContactOptions
    keeps = True
    follows_keys = True

    def __init__(self, sync: ProfileSync) -> None:
        self._sync = sync
        # Of a sync that was not read from a file there is no section.
        self._options: ContactOptions = vars(sync).get("options") or ContactOptions()
        self.runs_automations = self._options.automations == "run"

    @classmethod
    async def probe(cls, account: ActiveCampaignAccount) -> str:
        """As `Sink.probe`: no call tells what the key's user may do."""
        return f"takes the key, which belongs to the user {await account.client.user() or 'without a name'}"

    def limits(self, account: ActiveCampaignAccount) -> SenderLimits:  # noqa: ARG002 - the account's pace holds for all
        """As `Sink.limits`."""
        return SenderLimits(CONNECTIONS, CALLS_PER_SECOND, 1.0)

    def endpoint(self, account: ActiveCampaignAccount) -> ContactsEndpoint:
        """As `Sink.endpoint`."""
        return ContactsEndpoint(account)

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`: few go one by one, many by imports; who has another address now keeps his contact."""
        moved = rows.filter(pl.col(KNOWN_AS).is_not_null())
        others = rows.filter(pl.col(KNOWN_AS).is_null())
        waits = pl.col(KEY).is_in(moved[KNOWN_AS].explode().implode())
        after, others = others.filter(waits), others.filter(~waits)
        named = [pl.col(each).is_not_null() for each in (ENROL, ENROL_WAITS) if each in others.columns]
        enters = pl.any_horizontal(pl.lit(value=False), *named)
        entering, others = others.filter(enters), others.filter(~enters)
        is_quiet = pl.col(QUIET) & (not self.runs_automations)
        segments = [each.name for each in mapping.columns if is_segment(each.name)]
        goes_back = [pl.col(f"{MARKED}{each}").is_not_null() for each in segments if f"{MARKED}{each}" in rows.columns]
        leaves = [pl.col(send(each)) & pl.col(each).is_null() & ~is_quiet for each in segments]
        alone = pl.any_horizontal(pl.lit(value=False), *goes_back, *leaves)
        apart, others = others.filter(alone), others.filter(~alone)
        quiet, loud = others.filter(is_quiet), others.filter(~is_quiet)
        chosen = [
            (moved, MOVE),
            (after, AFTER),
            (entering, ENTER),
            (apart, SYNC),
            (loud, SYNC if loud.height <= FEW else IMPORT),
            (quiet, QUIET_IMPORT),
        ]
        return [self._write(some, envelope, mapping) for some, envelope in chosen if not some.is_empty()]

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        """As `Sink.opt_outs`: by an import where they are many; of a row that may be nobody's yet, one by one."""
        rows = rows.with_columns(
            pl.concat_list(*(pl.col(each).fill_null([]) for each in (KNOWN_AS, LEFT_BEHIND))).alias(KNOWN_AS)
        )
        alone = (pl.col("_op") == "new") | pl.lit(rows.height <= FEW) | (pl.col(KNOWN_AS).list.len() > 0)
        chosen = [(rows.filter(alone), OPT_OUT), (rows.filter(~alone), OPT_OUT_IMPORT)]
        return [self._write(some, envelope, mapping, opt_outs=True) for some, envelope in chosen if not some.is_empty()]

    def calls(self, account: ActiveCampaignAccount, envelope: Envelope, requests: int) -> tuple[int, float]:
        """As `Sink.calls`: an import is asked for once besides; of a contact alone its lists and tags as well.

        Tags that an import cannot take away are not counted: how many have them, only the account knows.
        """
        alone = (
            1
            + (2 if self._sync.lists else 0)
            + len(self._sync.named_tags)
            + (3 if self._sync.tag_words else 0)
            + (envelope == MOVE) * 2
        )
        alone += (2 if envelope == ENTER else 0) + (3 if self._sync.segment_columns else 0)
        each = 2 if envelope in IMPORTS else alone
        calls = requests * each
        return calls, calls / account.calls_per_second

    async def known(self, account: ActiveCampaignAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        return sum([bool(await account.client.ids(key)) for key in keys])

    async def read_back(self, account: ActiveCampaignAccount, mapping: RowMapping) -> ReadBack:
        """As `Sink.read_back`."""
        return ContactsReadBack(account, mapping.columns)

    def keeper(self, account: ActiveCampaignAccount, mapping: RowMapping) -> CustomFields:
        """As `Sink.keeper`."""
        return CustomFields(account, self._sync, mapping, create=self._options.create)

    def eraser(self, account: ActiveCampaignAccount) -> ContactEraser:
        """As `Sink.eraser`."""
        return ContactEraser(account)

    @staticmethod
    def _write(rows: pl.DataFrame, envelope: Envelope, mapping: RowMapping, *, opt_outs: bool = False) -> Write:
        columns = [column for column in mapping.columns if not opt_outs or column.role != "attribute"]
        states = [column.name for column in columns if column.role != "attribute"]

        def encode(some: pl.DataFrame) -> pl.Series:
            return encode_contacts(
                some.with_columns(pl.coalesce(name, repeated(name)) for name in states),
                columns,
                travels=opt_out if opt_outs else send,
                times={check.column for check in mapping.checked if check.code == "datetime_value"},
                former=envelope in {MOVE, OPT_OUT},
            )

        return Write(rows, envelope, encode)

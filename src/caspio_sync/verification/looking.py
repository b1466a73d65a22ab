"""One look at some rows: as Caspio has them, as the ledger says they were sent, as the destination does.

ledger rows + source frame ─▶ mapped frame ─▶ rows that still are what was sent ─▶ profiles or items ─▶ one state a row
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import MAX_PAGE_ROWS, CaspioClient
from caspio_sync.caspio.query import and_, identifier
from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.clock import Clock
from caspio_sync.deferred import np
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.prepared import Prepared
from caspio_sync.engine.read_back import Held, ReadBack
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.duplicate_consent import restrained
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.former_keys import with_former_keys
from caspio_sync.schemas import KEY, SOURCE_PK

if TYPE_CHECKING:
    import numpy.typing as npt

# Between dependent calls (Braze, 2.2).
SETTLE_SECONDS = 300
DENSE = 2  # a stretch with a wanted row in so many keys is read whole

Flags: TypeAlias = "npt.NDArray[np.bool_]"
ReadHeld = Callable[[Sequence[str]], Awaitable[list[Held]]]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of some rows.

    Args:
        rows: source_pk, key, sent_fp and `state`: equal, differing, missing, pending, recent, gone, ambiguous or
            left_out.
        acknowledged: field fingerprints as the ledger has them, rows x columns.
        compared: whether a field was held against what is there.
        equal: whether it is held there as it was sent.
        kept: whether it differs and must not be sent again: the consent there is the stricter one.
        retyped: whether it is held there in another JSON type.
    """

    rows: pl.DataFrame
    acknowledged: fp.FieldPrints
    compared: Flags
    equal: Flags
    kept: Flags
    retyped: Flags

    def only(self, chosen: pl.Series) -> Look:
        """The rows where `chosen` is true."""
        mask = chosen.to_numpy()
        return Look(
            self.rows.filter(chosen),
            self.acknowledged[mask],
            self.compared[mask],
            self.equal[mask],
            self.kept[mask],
            self.retyped[mask],
        )


@dataclass(eq=False)
class Looking:
    """Looks at rows.

    Args:
        prepared: the sync held against its table.
        caspio: reads the rows.
        read_back: reads the profiles or items.
        salt: what fingerprints are salted with.
        layouts: the columns of every mapping version the ledger holds.
        words: what duplicates say of consent (`Ledger.duplicate_words`): what was sent heeds it.
        clock: tells how long ago a row was sent.
    """

    prepared: Prepared
    caspio: CaspioClient
    read_back: ReadBack
    salt: int
    layouts: dict[int, tuple[str, ...]]
    words: pl.DataFrame
    clock: Clock

    def __post_init__(self) -> None:
        self.columns = self.prepared.mapping.columns
        self.consent = destination_of(self.prepared.definition).consent

    async def at(
        self, known: pl.DataFrame, held: ReadHeld | None = None, *, settled_at: datetime | None = None
    ) -> Look:
        """Look at rows.

        Args:
            known: the rows, as SENT_SCHEMA has them.
            held: gives what is held under each key, where it was read otherwise than `ReadBack.held` reads it.
            settled_at: what was sent later is not judged; by default five minutes before now.
        """
        mapped = with_former_keys(self.prepared.mapping.apply(await self._source(known[SOURCE_PK])), known)
        hashes = fp.key_hashes(mapped[KEY], self.salt)
        mapped = restrained(mapped, hashes, self.words, self.columns, self.consent, owners=known[SOURCE_PK])
        mapped = mapped.with_columns(fp.row_fingerprints(mapped, self.columns, self.salt))
        rows = known.join(mapped.select(SOURCE_PK, "fp", now=KEY), on=SOURCE_PK, how="left", maintain_order="left")
        same = (pl.col("fp") == pl.col("sent_fp")) & (pl.col("now") == pl.col(KEY))
        state = pl.when(pl.col("fp").is_null()).then(pl.lit("gone")).when(same).then(pl.lit("equal"))
        rows = rows.with_columns(state=state.otherwise(pl.lit("pending")))
        present = rows.with_row_index("place").filter(pl.col("state") == "equal")
        wanted = present.select(SOURCE_PK).join(mapped, on=SOURCE_PK, how="left", maintain_order="left")
        profiles = await (held or self.read_back.held)(present[KEY].to_list())
        states = pl.Series([each if isinstance(each, str) else "equal" for each in profiles], dtype=pl.String)
        look = self._blank(rows)
        places = present["place"].to_numpy()
        look.acknowledged[places] = self._acknowledged(present)
        wants = fp.field_fingerprints(wanted, self.columns, self.salt)
        readable = np.array([column in self.read_back.readable for column in self.columns], dtype=np.bool_)
        sent = (look.acknowledged[places] == wants) & (wants != fp.NEVER_SENT) & readable
        look.compared[places] = sent & ~(states == "ambiguous").to_numpy()[:, None]
        await self._hold_against(look, places, wanted, profiles)
        return self._judged(look, places, states, settled_at or self.clock.now() - timedelta(seconds=SETTLE_SECONDS))

    def _blank(self, rows: pl.DataFrame) -> Look:
        shape = (rows.height, len(self.columns))
        flags = [np.zeros(shape, dtype=np.bool_) for _ in range(4)]
        return Look(rows, np.zeros(shape, dtype=np.uint64), *flags)

    def _acknowledged(self, rows: pl.DataFrame) -> fp.FieldPrints:
        names = [column.name for column in self.columns]
        prints = np.full((rows.height, len(names)), fp.NEVER_SENT, dtype=np.uint64)
        for (version,), group in rows.with_row_index("at").group_by("sent_mapping_version"):
            stored = self.layouts[int(str(version))]
            prints[group["at"].to_numpy()] = fp.unpack(group["sent_fields"], stored, names)
        return prints

    async def _hold_against(
        self, look: Look, places: npt.NDArray[np.uint32], wanted: pl.DataFrame, profiles: list[Held]
    ) -> None:
        """Fill in `equal`, `kept` and `retyped` of the rows of which something is there."""
        found = np.array([not isinstance(each, str) for each in profiles], dtype=np.bool_)
        users = [each for each in profiles if not isinstance(each, str)]
        at, wanted = places[found], wanted.filter(pl.Series(found))
        stricter: dict[str, Flags] = {}
        for place, column in enumerate(self.columns):
            if column not in self.read_back.readable or not users:
                continue
            exported = await self.read_back.values(column, users, wanted[KEY].to_list())
            agreed = self.read_back.agrees(column, wanted[column.name], exported)
            look.equal[at, place] = agreed["equal"].to_numpy()
            look.retyped[at, place] = agreed["retyped"].to_numpy()
            if column.role != "attribute":
                stricter[column.name] = self._rank(exported["value"]) > self._rank(wanted[column.name])
                look.kept[at, place] = stricter[column.name]
        resets = {each.name: self.consent.reset_by(each) for each in self.columns if each.name in stricter}
        for place, column in enumerate(self.columns):
            # With a new address its consent travels, and would undo the one that was given to the destination itself.
            strict = [stricter[name] for name, triggers in resets.items() if triggers == (column.name,)]
            if strict:
                look.kept[at, place] = np.any(strict, axis=0)
        look.equal[:] &= look.compared
        look.retyped[:] &= look.compared
        look.kept[:] &= look.compared & ~look.equal

    def _judged(self, look: Look, places: npt.NDArray[np.uint32], states: pl.Series, settled_at: datetime) -> Look:
        """The look with a state a row."""
        differs = (look.compared & ~look.equal).any(axis=1)
        update_only = self.prepared.definition.identity.on_new == "update_only"
        told = look.rows["state"].scatter(places, states)
        recent = (pl.col("sent_at") > microseconds(settled_at)).fill_null(value=False)
        rows = look.rows.with_columns(told, pl.Series("differs", differs)).with_columns(
            state=pl.when(pl.col("state").is_in(["equal", "missing"]) & pl.col("differs") & recent)
            .then(pl.lit("recent"))
            .when(pl.col("state") == "missing")
            .then(pl.lit("left_out" if update_only else "missing"))
            .when((pl.col("state") == "equal") & pl.col("differs"))
            .then(pl.lit("differing"))
            .otherwise("state")
        )
        judged = rows["state"].is_in(["equal", "differing", "missing"]).to_numpy()[:, None]
        return Look(
            rows.select(SOURCE_PK, KEY, "sent_fp", "state"),
            look.acknowledged,
            look.compared & judged,
            look.equal & judged,
            look.kept & judged,
            look.retyped & judged,
        )

    async def _source(self, source_pks: pl.Series) -> pl.DataFrame:
        """The rows as Caspio has them, those that meet the sync's condition; a few more may be among them."""
        prepared, key = self.prepared, self.prepared.key
        low, high = int(source_pks.min() or 0), int(source_pks.max() or 0)  # type: ignore[arg-type]  # never null
        if high - low >= DENSE * len(source_pks):
            return await self._by_key(source_pks)
        found = source_frame(await self._stretch(low, high), prepared.selected, key.name)
        # What a page left out is none that is gone: it is looked up, and counted.
        return pl.concat([found, await self._by_key(source_pks.filter(~source_pks.is_in(found[SOURCE_PK].implode())))])

    async def _stretch(self, low: int, high: int) -> list[bytes]:
        """The rows of a stretch of keys, page by page."""
        prepared, pages, last = self.prepared, [], low - 1
        select = list(dict.fromkeys([prepared.key.name, *prepared.mapping.source_fields]))
        key = identifier(prepared.key.name)
        while last < high:
            where = and_(prepared.definition.source.where, f"{key}>{last} AND {key}<={high}")
            page = await self.caspio.records(
                prepared.source, select=select, where=where, order_by=f"{key} ASC", limit=MAX_PAGE_ROWS
            )
            pages.append(page.rows)
            keys = source_frame(pages[-1:], [], prepared.key.name)[SOURCE_PK]
            last = high if len(keys) < MAX_PAGE_ROWS else int(keys[-1])
        return pages

    async def _by_key(self, source_pks: pl.Series) -> pl.DataFrame:
        prepared, where = self.prepared, self.prepared.definition.source.where
        return await rows_by_key(
            self.caspio, prepared.source, prepared.key, source_pks, fields=prepared.selected, where=where
        )

    def _rank(self, states: pl.Series) -> npt.NDArray[np.int8]:
        return states.replace_strict(dict(self.consent.rank), default=-1, return_dtype=pl.Int8).to_numpy()

"""Braze's profiles, broken in one way each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import polars as pl

from caspio_sync.delivery.requests import Request
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.destinations.braze.destination import BRAZE
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.events import EventSink
from caspio_sync.destinations.braze.profiles import ProfileSink
from caspio_sync.destinations.braze.requests import TRACK
from caspio_sync.engine.destination import Destination
from caspio_sync.engine.writes import Write
from caspio_sync.errors import PermanentError, TransientError
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.wire.http import RateLimit
from caspio_sync.wire.taken import ObjectError, Taken


class _Swallowing(TrackEndpoint):
    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        try:
            return await super().deliver(request, seconds=seconds)
        except PermanentError:
            return Taken(status=201, errors=(), rate=RateLimit())


class _BlamingTheFirst(TrackEndpoint):
    def named(self, request: Request, error: PermanentError) -> dict[int, str]:
        return {0: self.words(error)}


class _NeverSure(TrackEndpoint):
    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        answer = await super().deliver(request, seconds=seconds)
        return replace(answer, errors=(ObjectError(None, None, "something"),))


class _Hurried(TrackEndpoint):
    """Tells nothing of limits, and asks again at once."""

    async def deliver(self, request: Request, *, seconds: float, tries: int = 4) -> Taken:
        try:
            return replace(await super().deliver(request, seconds=seconds), rate=RateLimit())
        except TransientError:
            if tries == 1:
                raise
            return await self.deliver(request, seconds=seconds, tries=tries - 1)


class _Blabbing(TrackEndpoint):
    secret = ""

    def words(self, error: PermanentError) -> str:
        return f"{super().words(error)} (key {self.secret})"


class SwallowsRefusals(ProfileSink):
    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        return _Swallowing(account.new_users())


class BlamesTheFirst(ProfileSink):
    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        return _BlamingTheFirst(account.new_users())


class IsNeverSure(ProfileSink):
    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        return _NeverSure(account.new_users())


class IgnoresLimits(ProfileSink):
    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        return _Hurried(account.new_users())


class TellsItsKey(ProfileSink):
    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        made = _Blabbing(account.new_users())
        made.secret = account.secret
        return made


class _Rewritten(ProfileSink):
    """Its writes in another form."""

    def _changed(self, write: Write) -> Write:
        raise NotImplementedError

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:
        return [self._changed(write) for write in super().writes(rows, mapping, whole=whole)]


def _each(write: Write, change: Callable[[dict[str, Any]], None]) -> Write:
    def encode(rows: pl.DataFrame) -> pl.Series:
        objects = [orjson.loads(text) for text in write.encode(rows)]
        for each in objects:
            change(each)
        return pl.Series([orjson.dumps(each).decode() for each in objects], dtype=pl.String)

    return replace(write, encode=encode)


class SendsTooMuch(_Rewritten):
    def _changed(self, write: Write) -> Write:
        return replace(write, envelope=replace(TRACK, objects=1000))


class AddsUp(_Rewritten):
    """What leaves twice counts twice, though the sink says that it may be repeated."""

    def _changed(self, write: Write) -> Write:
        def add(each: dict[str, Any]) -> None:
            if "spend" in each:
                each["spend"] = {"inc": int(each["spend"])}

        return _each(write, add)


class KeepsChanges(_Rewritten):
    """Only the key of a row that was sent before leaves."""

    def _changed(self, write: Write) -> Write:
        known = set(write.rows.filter(pl.col("_op") == "changed")["key"])

        def cut(each: dict[str, Any]) -> None:
            if each["external_id"] in known:
                each.pop("spend", None)

        return _each(write, cut)


class HoldsOptOutsBack(ProfileSink):
    """An opt-out that leaves ahead bears no state."""

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        def drop(each: dict[str, Any]) -> None:
            each.pop("email_subscribe", None)

        return [_each(write, drop) for write in super().opt_outs(rows, mapping)]


class RepeatsAllTheSame(EventSink):
    """Events that leave once more where the answer was lost, though the sink says that they are held."""

    @property
    def repeats(self) -> bool:
        return True


def _of(sink: type[ProfileSink]) -> Destination:
    return replace(BRAZE, sinks={**BRAZE.sinks, "profiles": sink})


SWALLOWS_REFUSALS = _of(SwallowsRefusals)
BLAMES_THE_FIRST = _of(BlamesTheFirst)
IS_NEVER_SURE = _of(IsNeverSure)
IGNORES_LIMITS = _of(IgnoresLimits)
TELLS_ITS_KEY = _of(TellsItsKey)
SENDS_TOO_MUCH = _of(SendsTooMuch)
ADDS_UP = _of(AddsUp)
KEEPS_CHANGES = _of(KeepsChanges)
HOLDS_OPT_OUTS_BACK = _of(HoldsOptOutsBack)
REPEATS_ALL_THE_SAME = replace(BRAZE, sinks={**BRAZE.sinks, "events": RepeatsAllTheSame})
FORGETS_RESETS = replace(BRAZE, consent=replace(CONSENT, reset_by=lambda _: ()))

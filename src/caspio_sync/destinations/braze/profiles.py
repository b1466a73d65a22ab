"""Profiles in Braze: POST /users/track takes them, /users/export/ids tells them."""

from collections.abc import Callable, Sequence

import orjson
import polars as pl

from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.answers import EXPORT_LIMIT, ids_an_export
from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.engagement import BrazeEngagement
from caspio_sync.destinations.braze.eraser import UserEraser
from caspio_sync.destinations.braze.identifiers import identifier
from caspio_sync.destinations.braze.identifying import Identifying
from caspio_sync.destinations.braze.objects import data_points, encode_objects, identifier_expression
from caspio_sync.destinations.braze.profiles_back import ProfilesReadBack
from caspio_sync.destinations.braze.requests import TRACK
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.run import Opening
from caspio_sync.engine.writes import Write
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.ledger.compare import opt_out, repeated, send
from caspio_sync.mapping.definition import Named
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import MappedColumn

TEST_ATTRIBUTE = "caspio_sync_test"
TRACK_SECONDS = 3.0  # the window of /users/track on data-point pricing: 3,000 requests in 3 s


async def users_known(account: BrazeAccount, identity: Named, keys: Sequence[str]) -> int:
    """How many of these keys have a profile."""
    named = [identifier(identity.kind, identity.label, key) for key in keys]
    size, paced, there = ids_an_export(identity.kind), PacedCalls("Braze", EXPORT_LIMIT, account.clock), 0
    for start in range(0, len(named), size):
        some = named[start : start + size]
        there += len((await paced.ask(lambda some=some: account.users.find_users(some))).found)  # type: ignore[misc]
    return there


class ProfileSink(Sink[BrazeAccount]):
    """Profiles of one sync."""

    values = ATTRIBUTE_VALUES
    envelopes = (TRACK,)
    when_lost = "repeat"  # objects hold whole values
    endpoint_place = "caspio_sync.destinations.braze.endpoints:users"

    def __init__(self, sync: ProfileSync) -> None:
        self._sync = sync

    @classmethod
    async def probe(cls, account: BrazeAccount) -> str:
        """As `Sink.probe`."""
        await account.users.probe_track()
        return "takes the key, which may write profiles (users.track)"

    @classmethod
    async def write_test(cls, account: BrazeAccount, key: str) -> tuple[str, str]:
        """As `Sink.write_test`: an attribute of the profile with this external id."""
        written = account.clock.now().isoformat(timespec="seconds")
        profile = {"external_id": key, "_update_existing_only": False, TEST_ATTRIBUTE: written}
        answer = await account.users.track(orjson.dumps({TRACK.array: [profile]}), sent={TRACK.array: 1})
        if answer.doubt:
            raise ConfigurationError(f"{answer.doubt}; whether the test profile was written is not known")
        if answer.errors:
            said = ", ".join(each.type for each in answer.errors)
            raise ConfigurationError(f"Braze: refused the test profile: {said}; correct the external id")
        return (
            f"Braze: WROTE {TEST_ATTRIBUTE} = {written} to the profile with external_id {key} (one data point)",
            "look it up in the Braze dashboard; writes take effect a little later than they are accepted",
        )

    def limits(self, account: BrazeAccount) -> SenderLimits:
        """As `Sink.limits`."""
        return SenderLimits(account.connections, account.track_limit, TRACK_SECONDS)

    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        """As `Sink.endpoint`."""
        return TrackEndpoint(account.new_users())

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`: what an object does not name stays as it is, so that none replaces a profile."""
        return [Write(rows, TRACK, lambda some: self._objects(some, mapping, opt_outs=False))]

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        """As `Sink.opt_outs`."""
        return [Write(rows, TRACK, lambda some: self._objects(some, mapping, opt_outs=True))]

    def price(
        self, rows: pl.DataFrame, columns: Sequence[MappedColumn], travels: Callable[[str], str] | None
    ) -> pl.Expr:
        """As `Sink.price`: data points."""
        return data_points(rows, columns, travels=travels)

    async def known(self, account: BrazeAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        return await users_known(account, self._sync.identity, keys)

    async def read_back(self, account: BrazeAccount, mapping: RowMapping) -> ReadBack:
        """As `Sink.read_back`."""
        return ProfilesReadBack(account.users, self._sync.identity, mapping.columns, account.clock)

    def eraser(self, account: BrazeAccount) -> UserEraser:
        """As `Sink.eraser`."""
        return UserEraser(account, self._sync.identity.kind)

    def known_by_address(self, account: BrazeAccount) -> Identifying:
        """As `Sink.known_by_address`."""
        return Identifying(account, self._sync.identity)

    def _objects(self, rows: pl.DataFrame, mapping: RowMapping, *, opt_outs: bool) -> pl.Series:
        identity = mapping.identity
        columns = [column for column in mapping.columns if not opt_outs or column.role != "attribute"]
        states = [column.name for column in columns if column.role != "attribute"]
        return encode_objects(
            rows.with_columns(pl.coalesce(name, repeated(name)) for name in states),
            columns,
            identifier=identifier_expression(identity.kind, identity.label),
            travels=opt_out if opt_outs else send,
            # An opt-out must not create a profile: the row that would may be held.
            update_only=opt_outs or self._sync.identity.on_new == "update_only",
        )


class EngagementFeed(Sink[BrazeAccount]):
    """What Braze tells of the people of an engagement return; nothing is sent there."""

    values = ATTRIBUTE_VALUES  # they are named by the same identifiers as profiles

    def __init__(self, sync: EngagementSync) -> None:
        self._sync = sync

    async def known(self, account: BrazeAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        return await users_known(account, self._sync.identity, keys)

    async def read_back(self, account: BrazeAccount, mapping: RowMapping) -> ReadBack:  # noqa: ARG002
        """As `Sink.read_back`."""
        raise ConfigurationError(
            f"{self._sync.name}: an engagement return holds every row of Caspio against Braze whenever it runs; "
            f"`caspio-sync plan {self._sync.name}` shows what differs"
        )

    async def polled(self, account: BrazeAccount) -> list[str]:
        """As `Sink.polled`."""
        returned = self._sync.returned
        return await account.engagement.probe_engagement(
            states=bool(returned.states and self._sync.people_per_run and returned.profiles),
            campaigns=self._sync.campaign_stats is not None,
        )

    def told(self, opening: Opening) -> BrazeEngagement:
        """As `Sink.told`."""
        return BrazeEngagement(opening)

"""Braze's REST API: what is told of engagement without Currents (Braze, 7.5, 8 and 10)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import httpx

from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.errors import PermanentError
from caspio_sync.wire.answers import document, foreign
from caspio_sync.wire.http import RateLimit

MAX_ADDRESSES = 500  # a page of the lists of addresses (Braze, 8)
MAX_USERS = 50  # ids a request, and a page holds 100 users (Braze, 7.5)
MAX_CAMPAIGN_DAYS = 100
MAX_CANVAS_DAYS = 14
SENDERS_A_PAGE = 100  # campaigns or canvases (Braze, 10.1)
CAMPAIGN_SERIES_LIMIT = (50_000, 60.0)  # (Braze, 2.1); the other endpoints here share GENERAL_LIMIT
_MOST = 2**53  # what is more is no count of anything
_ZONE = re.compile(r" (\+0000|UTC)$")  # 2016-08-25 15:24:32 +0000, 2020-07-10 15:00:00.000 UTC


# What tells whether the key may ask: requests that find nobody, or that are refused for what they lack, which is looked
# at after the permission (Braze, 1.2).
_LISTS = (
    ("email.unsubscribe", "GET", "/email/unsubscribes", b""),
    ("email.hard_bounces", "GET", "/email/hard_bounces", b""),
)
_STATES = (
    ("subscription.groups.get", "GET", "/subscription/user/status", b""),
    ("users.export.ids", "POST", "/users/export/ids", b'{"external_ids":[],"fields_to_export":["external_id"]}'),
)
_CAMPAIGNS = (
    ("campaigns.list", "GET", "/campaigns/list", b""),
    ("campaigns.data_series", "GET", "/campaigns/data_series", b""),
    ("canvas.list", "GET", "/canvas/list", b""),
    ("canvas.data_series", "GET", "/canvas/data_series", b""),
)


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address and when it unsubscribed or bounced."""

    email: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AddressesPage:
    """Addresses of some days, a page of them; `full` where there may be another one."""

    addresses: list[Address]
    full: bool
    rate: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A profile, and its state ("subscribed", "unsubscribed", "unknown") in every group where it ever had one."""

    external_id: str | None
    email: str | None
    phone: str | None
    groups: Mapping[str, tuple[str, str]]
    """Group's id: channel ("email", "sms", …) and state."""


@dataclass(frozen=True, slots=True)
class GroupMembers:
    """An answer of GET /subscription/user/status."""

    users: list[GroupMember]
    rate: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class Senders:
    """Id and name of campaigns or canvases, a page of them."""

    senders: list[tuple[str, str]]
    rate: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class Series:
    """Per day: channel in Braze's word, and its counters, summed over variations and steps."""

    days: list[tuple[date, dict[str, dict[str, int]]]]
    rate: RateLimit = field(default_factory=RateLimit)


class BrazeEngagementClient(BrazeClient):
    """The endpoints that are asked for engagement; arguments and errors as for `BrazeClient`."""

    PERMISSIONS = (
        "email.unsubscribe, email.hard_bounces, subscription.groups.get, users.export.ids, campaigns.list, "
        "campaigns.data_series, canvas.list, canvas.data_series"
    )

    async def probe_engagement(self, *, states: bool, campaigns: bool) -> list[str]:
        """Ask whether the key may poll.

        Args:
            states: also people's states.
            campaigns: also campaigns and canvases.

        Returns:
            The permissions that are there.

        Raises:
            ConfigurationError: endpoint or key are not right, or permissions are missing; each is named.
            TransientError: Braze did not answer, or asked to come again.
        """
        asked = [*_LISTS, *(_STATES if states else ()), *(_CAMPAIGNS if campaigns else ())]
        await self._probe(asked)
        return [permission for permission, *_ in asked]

    async def unsubscribes(self, start: date, end: date, *, offset: int = 0) -> AddressesPage:
        """GET /email/unsubscribes: the latest unsubscribe of each address, oldest first, 500 a page.

        Args:
            start: first day, from midnight UTC.
            end: until midnight UTC of this day; whether the day itself is within is not documented.
            offset: addresses to leave out.
        """
        query = {**_days(start, end, offset), "sort_direction": "asc"}
        return await self._addresses("/email/unsubscribes", "unsubscribed_at", query)

    async def hard_bounces(self, start: date, end: date, *, offset: int = 0) -> AddressesPage:
        """GET /email/hard_bounces: newest first, else as `unsubscribes`."""
        return await self._addresses("/email/hard_bounces", "hard_bounced_at", _days(start, end, offset))

    async def _addresses(self, path: str, column: str, query: Mapping[str, Any]) -> AddressesPage:
        doing = f"reading {path}"
        response = await self._get(path, query, doing)
        entries = document(response, doing, emails=list)["emails"]
        addresses = [_address(entry, column) for entry in entries]
        if None in addresses:
            raise foreign(response, doing, "an entry without address or time")
        found = [each for each in addresses if each is not None]
        return AddressesPage(found, len(entries) >= MAX_ADDRESSES, self._rate(response))

    async def user_groups(self, external_ids: Sequence[str]) -> GroupMembers:
        """GET /subscription/user/status of at most 50 external ids; who has no profile is not in the answer.

        Raises:
            PermanentError: more than 50 ids, or the request was refused.
        """
        doing = "reading subscription groups"
        if len(external_ids) > MAX_USERS:
            raise PermanentError(f"{doing}: {len(external_ids)} ids in one call; ask for {MAX_USERS} at most")
        query = {"external_id[]": list(external_ids), "limit": 100}
        response = await self._get("/subscription/user/status", query, doing)
        users = document(response, doing, users=list)["users"]
        if not all(map(_is_member, users)):
            raise foreign(response, doing, "a user without its groups")
        return GroupMembers([_member(user) for user in users], self._rate(response))

    async def campaigns(self, page: int = 0) -> Senders:
        """GET /campaigns/list: 100 a page, the newest first."""
        return await self._senders("/campaigns/list", "campaigns", page)

    async def canvases(self, page: int = 0) -> Senders:
        """GET /canvas/list: as `campaigns`."""
        return await self._senders("/canvas/list", "canvases", page)

    async def _senders(self, path: str, key: str, page: int) -> Senders:
        doing = f"reading {path}"
        response = await self._get(path, {"page": page, "sort_direction": "desc"}, doing)
        entries = document(response, doing, **{key: list})[key]
        if not all(isinstance(entry, dict) and isinstance(entry.get("id"), str) for entry in entries):
            raise foreign(response, doing, "an entry without id")
        return Senders([(entry["id"], str(entry.get("name") or "")) for entry in entries], self._rate(response))

    async def campaign_series(self, campaign_id: str, *, last: date, days: int) -> Series:
        """GET /campaigns/data_series: at most 100 days; days are those of the company's time zone (Braze, 10.2)."""
        doing = "reading a campaign's series"
        if days > MAX_CAMPAIGN_DAYS:
            raise PermanentError(f"{doing}: {days} days in one call; ask for {MAX_CAMPAIGN_DAYS} at most")
        query = {"campaign_id": campaign_id, "length": days, "ending_at": _end_of(last)}
        response = await self._get("/campaigns/data_series", query, doing)
        return self._series(response, document(response, doing, data=list)["data"], doing)

    async def canvas_series(self, canvas_id: str, *, last: date, days: int) -> Series:
        """GET /canvas/data_series with its steps: at most 14 days, else as `campaign_series`."""
        doing = "reading a canvas's series"
        if days > MAX_CANVAS_DAYS:
            raise PermanentError(f"{doing}: {days} days in one call; ask for {MAX_CANVAS_DAYS} at most")
        query = {
            "canvas_id": canvas_id,
            "length": days,
            "ending_at": _end_of(last),
            "include_step_breakdown": "true",
        }
        response = await self._get("/canvas/data_series", query, doing)
        return self._series(response, document(response, doing, data=dict)["data"].get("stats"), doing)

    def _series(self, response: httpx.Response, rows: Any, doing: str) -> Series:
        try:
            days = [(date.fromisoformat(row["time"][:10]), _counters(row)) for row in rows]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise foreign(response, doing, "a day that cannot be read") from None
        return Series(days, self._rate(response))

    async def _get(self, path: str, query: Mapping[str, Any], doing: str) -> httpx.Response:
        return await self._send("GET", self._url(path).copy_merge_params(dict(query)), b"", doing)


def _days(start: date, end: date, offset: int) -> dict[str, Any]:
    return {"start_date": start.isoformat(), "end_date": end.isoformat(), "limit": MAX_ADDRESSES, "offset": offset}


def _counters(row: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Counters by channel; a canvas has its messages by step (Braze, 10.2)."""
    parts = [
        row.get("messages") or {},
        *(step.get("messages") or {} for step in (row.get("step_stats") or {}).values()),
    ]
    summed: dict[str, dict[str, int]] = {}
    for messages in parts:
        for channel, variations in messages.items():
            counters = summed.setdefault(channel, {})
            for variation in variations:
                for name, value in variation.items():
                    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
                        counters[name] = counters.get(name, 0) + value
    return summed


def _address(entry: Any, column: str) -> Address | None:
    email, at = (entry.get("email"), instant(entry.get(column))) if isinstance(entry, dict) else (None, None)
    return Address(email, at) if isinstance(email, str) and at is not None else None


def instant(text: Any) -> datetime | None:
    """A time as Braze's exports write it, aware; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(_ZONE.sub("+00:00", text.strip()))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the first and the last day that there is, in another zone
        return None


def _is_member(user: Any) -> bool:
    groups = user.get("subscription_groups") if isinstance(user, dict) else None
    return isinstance(groups, list) and all(
        isinstance(group, dict) and {"id", "status"} <= group.keys() for group in groups
    )


def _member(user: Mapping[str, Any]) -> GroupMember:
    groups = {
        str(group["id"]): (str(group.get("channel") or "").lower(), str(group["status"]).lower())
        for group in user["subscription_groups"]
    }
    return GroupMember(user.get("external_id"), user.get("email"), user.get("phone"), groups)


def _end_of(day: date) -> str:
    return f"{day.isoformat()}T23:59:59Z"

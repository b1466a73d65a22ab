"""The endpoints that tell of engagement and subscription (reference, sections 7.4, 7.5, 8, 10.1 and 10.2)."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import parse_qs

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.calls import Call, Endpoint, Reply
from caspio_sync.sandbox.braze.dates import parse_instant
from caspio_sync.sandbox.braze.export import full_profile
from caspio_sync.sandbox.braze.messaging import Messaging, Sender
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.rate import PoolLimit
from caspio_sync.sandbox.braze.track import RefusedError

_ENTRY_TOTALS = ("revenue", "conversions", "conversions_by_entry_time", "entries")
# Up to four conversion events: the first without a number, all of them also where a campaign has one (10.2).
_CAMPAIGN_TOTALS = (
    *("conversions", "conversions_by_send_time", "conversions1", "conversions1_by_send_time"),
    *("conversions2", "conversions2_by_send_time", "conversions3", "conversions3_by_send_time"),
    *("unique_recipients", "revenue"),
)
_PAGE = 100
_MAX_IDS = 50


class Query:
    """The parameters of a request, each asked for by its kind; raises `RefusedError` (400) where one does not hold."""

    def __init__(self, query: bytes) -> None:
        self._values = parse_qs(query.decode("latin-1"), keep_blank_values=True)

    def many(self, name: str) -> list[str]:
        """Every value of `name[]` and `name`."""
        return self._values.get(f"{name}[]", []) + self._values.get(name, [])

    def people(self, *, of_one_kind: bool) -> list[tuple[str, str]]:
        """Identifiers of people by name and value, 1 to 50; of one kind: those of the first that is there."""
        asked = [(name, each) for name in ("external_id", "email", "phone") for each in self.many(name)]
        if of_one_kind:
            if {name for name, _ in asked} == {"email", "phone"}:
                raise RefusedError(400, "Either an email address or a phone number should be provided, but not both.")
            asked = [each for each in asked if each[0] == asked[0][0]]
        if not 0 < len(asked) <= _MAX_IDS:
            raise RefusedError(400, "Bad Request: 1 to 50 of 'external_id', 'email' or 'phone' are required")
        return asked

    def text(self, name: str) -> str | None:
        """The last value, None where there is none."""
        values = self._values.get(name)
        return values[-1] if values and values[-1] else None

    def required(self, name: str) -> str:
        """A value that has to be there."""
        value = self.text(name)
        if value is None:
            raise RefusedError(400, f"Bad Request: '{name}' is required")
        return value

    def number(self, name: str, default: int, least: int, most: int | None = None) -> int:
        """A whole number within its bounds."""
        value = self.text(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= (most or int(value)):
            raise RefusedError(
                400, f"Bad Request: '{name}' must be a number from {least}{f' to {most}' if most else ''}"
            )
        return int(value)

    def day(self, name: str) -> date | None:
        """A date, `YYYY-MM-DD` and nothing else."""
        value = self.text(name)
        if value is None:
            return None
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = None
        if day is None or len(value) != len("2026-01-01"):
            raise RefusedError(400, f"Bad Request: '{name}' must be a date, YYYY-MM-DD")
        return day

    def instant(self, name: str) -> datetime | None:
        """An ISO 8601 date or time."""
        value = self.text(name)
        instant = parse_instant(value) if value else None
        if value is not None and instant is None:
            raise RefusedError(400, f"Bad Request: '{name}' must be an ISO 8601 time")
        return instant

    def choice(self, name: str, words: tuple[str, ...]) -> str:
        """One of some words, the first by default."""
        value = self.text(name) or words[0]
        if value not in words:
            raise RefusedError(400, f"Bad Request: '{name}' must be one of {', '.join(words)}")
        return value


class EngagementEndpoints:
    """Answers from the profiles and from what became of the messages."""

    def __init__(self, behaviour: BrazeBehaviour, store: ProfileStore, messaging: Messaging) -> None:
        self._behaviour = behaviour
        self._store = store
        self._messaging = messaging
        self._general = PoolLimit(behaviour, behaviour.groups_per_hour, 3600)
        self._series = PoolLimit(behaviour, behaviour.campaign_series_per_minute, 60)
        self._routes = {
            "/email/unsubscribes": self._endpoint("email.unsubscribe", self._unsubscribes),
            "/email/hard_bounces": self._endpoint("email.hard_bounces", self._hard_bounces),
            "/subscription/status/get": self._endpoint("subscription.status.get", self._group_status),
            "/subscription/user/status": self._endpoint("subscription.groups.get", self._user_status),
            "/campaigns/list": self._endpoint("campaigns.list", self._campaigns),
            "/canvas/list": self._endpoint("canvas.list", self._canvases),
            "/campaigns/data_series": self._endpoint("campaigns.data_series", self._campaign_series, self._series),
            "/canvas/data_series": self._endpoint("canvas.data_series", self._canvas_series),
        }

    def route(self, method: str, path: str) -> Endpoint | None:
        """The endpoint, None where there is none."""
        return self._routes.get(path) if method == "GET" else None

    def _endpoint(
        self, permission: str, tell: Callable[[Query, float], dict[str, Any]], pool: PoolLimit | None = None
    ) -> Endpoint:
        drawn_from = pool or self._general

        def answer(call: Call) -> Reply:
            return Reply(200, orjson.dumps(tell(Query(call.query), call.now) | {"message": "success"}))

        return Endpoint(permission, lambda call: drawn_from.admit(call.now), answer, looks=True)

    # 8: lists of addresses.

    def _unsubscribes(self, query: Query, _now: float) -> dict[str, Any]:
        newest_first = query.choice("sort_direction", ("desc", "asc")) == "desc"
        return self._addresses(query, self._messaging.unsubscribes, "unsubscribed_at", newest_first=newest_first)

    def _hard_bounces(self, query: Query, _now: float) -> dict[str, Any]:
        return self._addresses(query, self._messaging.hard_bounces, "hard_bounced_at", newest_first=True)

    def _addresses(
        self, query: Query, held: dict[str, tuple[str, float]], column: str, *, newest_first: bool
    ) -> dict[str, Any]:
        start, end, email = query.day("start_date"), query.day("end_date"), query.text("email")
        limit, offset = query.number("limit", 100, 1, 500), query.number("offset", 0, 0)
        if end is None or (start is None and email is None):
            raise RefusedError(400, "Bad Request: 'end_date' and one of 'start_date' and 'email' are required")
        if email is not None:  # it overrides the dates
            found = [held[email.lower()]] if email.lower() in held else []
            if self._behaviour.email_paging_empties and (query.text("limit") or query.text("offset")):
                found = []
        else:
            assert start is not None
            if start > end:
                raise RefusedError(400, "Bad Request: 'start_date' must not be after 'end_date'")
            # Both dates are midnights in UTC; whether the last day is within is not said.
            last = end + timedelta(days=self._behaviour.email_lists_end == "inclusive")
            found = [each for each in held.values() if _midnight(start) <= each[1] < _midnight(last)]
        found.sort(key=lambda each: each[1], reverse=newest_first)
        return {
            "emails": [{"email": each, column: _stamp(when)} for each, when in found[offset : offset + limit]],
        }

    # 7.4 and 7.5: groups of people.

    def _group_status(self, query: Query, _now: float) -> dict[str, Any]:
        """The group's own state, whatever the global one, by the identifiers asked for."""
        group = query.required("subscription_group_id")
        if group not in self._behaviour.subscription_groups:
            raise RefusedError(400, "Invalid subscription group ID")
        asked = query.people(of_one_kind=True)
        return {"status": {each: self._state(group, self._named(name, each)) for name, each in asked}}

    def _named(self, name: str, value: str) -> list[int]:
        """Numbers of the profiles with that external id, address or phone number."""
        if name == "external_id":
            number = self._store.find(external_id=value)
            return [] if number is None else [number]
        return self._store.sharing(**{name: value})

    def _state(self, group: str, numbers: list[int]) -> str:
        # Profiles that share an address share its state, so any that has one tells it.
        states = (self._store.read(number).get("subscription_groups", {}).get(group) for number in numbers)
        state = next(filter(None, states), None)
        return self._behaviour.unknown_state if state is None else state.capitalize()

    def _user_status(self, query: Query, _now: float) -> dict[str, Any]:
        asked = query.people(of_one_kind=False)
        limit, offset = query.number("limit", _PAGE, 1, _PAGE), query.number("offset", 0, 0)
        found = list(dict.fromkeys(chain.from_iterable(self._named(*each) for each in asked)))
        return {"users": [self._user(each) for each in found[offset : offset + limit]], "total_count": len(found)}

    def _user(self, number: int) -> dict[str, Any]:
        profile = full_profile(self._store.read(number))
        channels = self._behaviour.subscription_groups
        groups = [
            {"id": group, "name": f"Group {group[:8]}", "channel": channels[group], "status": state.capitalize()}
            for group, state in profile["subscription_groups"].items()
        ]
        known = {name: profile.get(name) for name in ("email", "phone", "external_id")}
        return {**known, "subscription_groups": groups}

    # 10: lists and series.

    def _campaigns(self, query: Query, _now: float) -> dict[str, Any]:
        more = {"is_api_campaign": False, "tags": []}
        return {"campaigns": _page(query, self._messaging.campaigns, more)}

    def _canvases(self, query: Query, _now: float) -> dict[str, Any]:
        return {"canvases": _page(query, self._messaging.canvases, {"tags": []})}

    def _campaign_series(self, query: Query, now: float) -> dict[str, Any]:
        campaign = query.required("campaign_id")
        if campaign not in self._messaging.campaigns:
            raise RefusedError(400, "Invalid Campaign ID")
        query.required("length")
        length = query.number("length", 1, 1, 100)
        last = (query.instant("ending_at") or datetime.fromtimestamp(now, UTC)).date()
        totals = dict.fromkeys(_CAMPAIGN_TOTALS, 0)
        rows = self._messaging.series(campaign, last, length)
        return {"data": [{"time": day.isoformat(), **totals, "messages": messages} for day, messages in rows]}

    def _canvas_series(self, query: Query, _now: float) -> dict[str, Any]:
        canvas = self._messaging.canvases.get(query.required("canvas_id"))
        if canvas is None:
            raise RefusedError(400, "Invalid Canvas ID")
        query.required("ending_at")
        ending, starting = query.instant("ending_at"), query.instant("starting_at")
        assert ending is not None
        if starting is None:
            query.required("length")
        length = query.number("length", 1, 1, 14) if starting is None else (ending.date() - starting.date()).days + 1
        if not 1 <= length <= 14:
            raise RefusedError(400, "Bad Request: 'starting_at' must be 0 to 13 days before 'ending_at'")
        stats = []
        for day, messages in self._messaging.series(canvas.id, ending.date(), length):
            row: dict[str, Any] = {"time": day.isoformat(), "total_stats": dict.fromkeys(_ENTRY_TOTALS, 0)}
            if query.text("include_step_breakdown") == "true":
                step = {"name": "Message", **dict.fromkeys(_ENTRY_TOTALS[:3], 0), "messages": messages}
                row["step_stats"] = {f"{canvas.id}-step-1": step}
            stats.append(row)
        return {"data": {"name": canvas.name, "stats": stats}}


def _page(query: Query, senders: Mapping[str, Sender], more: dict[str, Any]) -> list[dict[str, Any]]:
    page = query.number("page", 0, 0)
    newest_first = query.choice("sort_direction", ("asc", "desc")) == "desc"
    archived = query.choice("include_archived", ("false", "true")) == "true"
    after = query.instant("last_edit.time[gt]")
    found = [
        each for each in senders.values() if (archived or not each.archived) and (after is None or each.edited > after)
    ]
    return [
        {"id": each.id, "last_edited": each.edited.isoformat(), "name": each.name, **more}
        for each in found[:: -1 if newest_first else 1][page * _PAGE : (page + 1) * _PAGE]
    ]


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _stamp(when: float) -> str:
    """As in Braze's samples (reference, section 8)."""
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S +0000}"

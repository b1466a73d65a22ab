"""Memberships of contacts: who may be put on a list, and who is taken off it.

A row of contact and list tells its status and when that changed, not who changed it (ActiveCampaign, lists). So a row
that a segment ended is known again by how it stood right after that: whatever anybody does to it later shows.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.destinations.activecampaign.consent import SUBSCRIBED, UNSUBSCRIBED, why_not
from caspio_sync.destinations.activecampaign.directory import Directory

# What of a row tells of a change. The contact's own name stands there as well, and changes with the contact.
_TELLING = ("id", "status", "unsubreason", "campaign", "message", "sourceid", "ip4Unsub", "unsubscribeAutomation")
_TIMES = ("sdate", "udate")

Marks = list[tuple[str, str]]  # names of lists, and how each row stood; "" where it is of no interest any more


class Memberships:
    """Puts contacts on lists, and takes them off.

    Args:
        client: of the account.
        directory: knows the lists.
    """

    def __init__(self, client: ActiveCampaignClient, directory: Directory) -> None:
        self._client, self._directory = client, directory
        self._ended: set[tuple[str, str]] = set()  # contact and list, of those that were on it when this run came

    async def put(self, number: str, contact: Mapping[str, Any]) -> tuple[list[str], Marks]:
        """Write what a row says of lists, opt-outs first.

        Args:
            number: the contact's id.
            contact: with `unsubscribe` and `subscribe`: objects with `listid`, and with `mark` where who was taken off
                goes back.

        Returns:
            Why somebody was not put on a list, of each list where that is so; and what is to be remembered.
        """
        for off in contact.get("unsubscribe", ()):
            await self._client.put_on(number, str(off["listid"]), UNSUBSCRIBED)
        wanted = {str(each["listid"]): each.get("mark") for each in contact.get("subscribe", ())}
        there = await self._client.memberships(number) if wanted else {}
        told, marks = [], []
        for on, mark in wanted.items():

            def may(row: Mapping[str, Any] | None, mark: str | None = mark) -> bool:
                return row is None or (mark is not None and mark_of(row) == mark)

            row = there.get(on)
            name = await self._directory.list_name(on)
            if may(row):
                await self._client.subscribe(number, on, may)
                marks += [(name, "")] if row is not None else []
            elif row is not None and str(row["status"]) != SUBSCRIBED:
                told.append(
                    f"some people were not subscribed to {name} again: who {why_not(str(row['status']))} can only be "
                    "taken back by themselves, or by an admin in ActiveCampaign; `verify` counts them"
                )
        return told, marks

    async def leave(self, number: str, lists: Iterable[str]) -> Marks:
        """Take a contact off lists that it is on; one that left by itself, or is on none, is left as it is."""
        lists = list(lists)
        if not lists:
            return []
        there = await self._client.memberships(number)
        for off in lists:
            if off in there and str(there[off]["status"]) == SUBSCRIBED:
                self._ended.add((number, off))
                await self._client.put_on(number, off, UNSUBSCRIBED)
        ended = [off for off in lists if (number, off) in self._ended]
        after = await self._client.memberships(number) if ended else {}
        return [
            (await self._directory.list_name(off), mark_of(after[off]))
            for off in ended
            if off in after and str(after[off]["status"]) == UNSUBSCRIBED
        ]


def mark_of(row: Mapping[str, Any]) -> str:
    """By what a row is known again while nobody changes it."""
    told = [str(row.get(name) or "") for name in _TELLING]
    told += [_in_utc(str(row.get(name) or "")) for name in _TIMES]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()[:32]


def _in_utc(text: str) -> str:
    """A time with an offset in UTC, for the account's own changes twice a year; anything else as it is."""
    with contextlib.suppress(ValueError):
        time = datetime.fromisoformat(text)
        return text if time.tzinfo is None else time.astimezone(UTC).isoformat()
    return text

"""Braze's REST API: user profiles."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from caspio_sync.destinations.braze.answers import (
    MAX_DELETED_IDS,
    MAX_EXPORT_IDS,
    MAX_GROUP_IDS,
    MAX_IDENTIFIED,
    DeleteAnswer,
    EmailToIdentify,
    ExportAnswer,
    FoundAnswer,
    GroupStates,
    IdentifyAnswer,
    TrackRefusedError,
)
from caspio_sync.destinations.braze.session import BrazeSession
from caspio_sync.errors import CallError, ConfigurationError, PermanentError
from caspio_sync.wire.answers import ForeignAnswerError, acknowledged, document, entries, foreign, parsed
from caspio_sync.wire.http import RefusedError
from caspio_sync.wire.masking import masked
from caspio_sync.wire.taken import ObjectError, Taken

# One profile is to be meant: the latest of those that share an address or number (Braze, 5: prioritization).
_LATEST = ["most_recently_updated"]
_TYPE_CHARS = 200
_WORDS = {"attributes": "profiles"}  # what the objects of an array are called, where not as the array


class BrazeClient(BrazeSession):
    """The endpoints of user profiles; arguments as for `BrazeSession`."""

    PERMISSIONS = "users.track, users.export.ids, users.identify, subscription.status.get, for erasure users.delete"

    async def track(self, body: bytes, *, sent: Mapping[str, int], seconds: float | None = None) -> Taken:
        """POST /users/track once: at most 75 objects and 4 MB (Braze, 2.3 and 3.1).

        Args:
            body: the finished JSON document.
            sent: objects in it, by name of their array; held against what the answer counts.
            seconds: for the answer; by default, and at the most, the client's own time limit.

        Returns:
            What a 2xx said; objects named in `errors` were left out, the rest is queued. With `doubt` nothing is known
            of any of them.

        Raises:
            TransientError: another attempt may help. With an answer of Braze's it is an `UnavailableError` and carries
                `rate`; `ambiguous` where the request may have been taken.
            TrackRefusedError: the whole request was refused (400, 413, …).
            ConfigurationError: endpoint, key or permission.
        """
        doing = f"sending {_WORDS.get(next(iter(sent)), next(iter(sent)))}"
        response = await self._post(self._url("/users/track"), body, doing, seconds)
        try:
            answer = acknowledged(response, doing, sent=sent)
        except ForeignAnswerError as doubt:
            return Taken(response.status_code, (), self._rate(response), doubt=str(doubt))
        return Taken(response.status_code, _errors(answer, response.request), self._rate(response))

    async def export_users(
        self,
        external_ids: Sequence[str],
        fields: Sequence[str],
        *,
        user_aliases: Sequence[tuple[str, str]] = (),
        email_address: str | None = None,
        phone: str | None = None,
    ) -> ExportAnswer:
        """POST /users/export/ids: the profiles under some identifiers; profile fields without a value are left out.

        Args:
            external_ids: at most 50.
            fields: `fields_to_export`; without campaigns_received and canvases_received the fast limit holds.
            user_aliases: (label, name) of each, at most 50.
            email_address: every profile with this address.
            phone: every profile with this number.

        Raises:
            PermanentError: more than 50 ids, or the request was refused.
            TransientError, ConfigurationError: as for `track`.
        """
        doing = "exporting profiles"
        if max(len(external_ids), len(user_aliases)) > MAX_EXPORT_IDS:
            raise PermanentError(f"{doing}: {len(external_ids)} ids in one call; ask for {MAX_EXPORT_IDS} at most")
        asked = {
            "external_ids": list(external_ids),
            "user_aliases": [{"alias_label": label, "alias_name": name} for label, name in user_aliases],
            "email_address": email_address,
            "phone": phone,
        }
        return await self._export({name: value for name, value in asked.items() if value}, fields)

    async def identify_users(self, emails: Sequence[EmailToIdentify]) -> IdentifyAnswer:
        """POST /users/identify: give profiles that are known by an address alone their external id.

        Of several without an external id the one updated last is meant; a profile that has an external id already is
        never touched. Where the external id is known, the two are merged. Repeating it is harmless (Braze, 5).

        Args:
            emails: at most 50.

        Raises:
            PermanentError: more than 50, or the request was refused.
            TransientError, ConfigurationError: as for `track`.
        """
        doing = "identifying profiles"
        if len(emails) > MAX_IDENTIFIED:
            raise PermanentError(f"{doing}: {len(emails)} in one call; send {MAX_IDENTIFIED} at most")
        prioritization = ["unidentified", "most_recently_updated"]
        entries = [
            {"external_id": each.external_id, "email": each.email, "prioritization": prioritization} for each in emails
        ]
        response = await self._post(self._url("/users/identify"), orjson.dumps({"emails_to_identify": entries}), doing)
        answer = document(response, doing, aliases_processed=int)
        if answer["aliases_processed"] != len(emails):  # an address that no profile has counts as well (Braze, 5)
            raise foreign(response, doing, f"{answer['aliases_processed']} counted, {len(emails)} sent")
        return IdentifyAnswer(answer["aliases_processed"], self._rate(response))

    async def group_states(self, group_id: str, external_ids: Sequence[str]) -> GroupStates:
        """GET /subscription/status/get: the group's own state of at most 50 ids, whatever the global state says.

        Raises:
            PermanentError: more than 50 ids, or the request was refused.
            TransientError, ConfigurationError: as for `track`.
        """
        doing = "reading subscription groups"
        if len(external_ids) > MAX_GROUP_IDS:
            raise PermanentError(f"{doing}: {len(external_ids)} ids in one call; ask for {MAX_GROUP_IDS} at most")
        query = {"subscription_group_id": group_id, "external_id[]": list(external_ids)}
        response = await self._send("GET", self._url("/subscription/status/get").copy_merge_params(query), b"", doing)
        answer = document(response, doing, status=dict)
        states = {str(key): str(state).lower() for key, state in answer["status"].items()}
        return GroupStates(states, self._rate(response))

    async def find_users(self, identifiers: Sequence[Mapping[str, Any]]) -> FoundAnswer:
        """Those of the identifiers that name a profile, by POST /users/export/ids.

        Args:
            identifiers: all of one kind: at most 50 `{"external_id": …}` or `{"user_alias": {…}}`, or a single
                `{"email": …}` or `{"phone": …}`, as Braze takes those one a request (Braze, 6.1).

        Raises:
            As `export_users`.
        """
        kind, values = _one_kind(identifiers, "looking profiles up", MAX_EXPORT_IDS)
        if kind in {"email", "phone"}:
            if len(values) > 1:
                raise PermanentError("looking profiles up: Braze takes one e-mail address or phone number a request")
            name = "email_address" if kind == "email" else kind
            answer = await self._export({name: values[0]}, ["external_id"])
            return FoundAnswer(list(identifiers) if answer.users else [], answer.rate)
        answer = await self._export({f"{kind}{'es' if kind == 'user_alias' else 's'}": values}, ["user_aliases"])
        missing = set(answer.invalid_user_ids)
        return FoundAnswer([one for one in identifiers if _id(one[kind]) not in missing], answer.rate)

    async def delete_users(self, identifiers: Sequence[Mapping[str, Any]]) -> DeleteAnswer:
        """POST /users/delete: queue profiles for deletion, usually done in a second, within 5 minutes (Braze, 5).

        Args:
            identifiers: at most 50, all of one kind: `{"external_id": …}`, `{"user_alias": {…}}`, `{"email": …}` or
                `{"phone": …}`; of several profiles that share an address or number, the one updated last is deleted.

        Raises:
            PermanentError: more than 50, or several kinds; or the request was refused.
            TransientError, ConfigurationError: as for `track`; repeating it is harmless.
        """
        doing = "deleting profiles"
        kind, values = _one_kind(identifiers, doing, MAX_DELETED_IDS)
        body: dict[str, list[Any]] = {
            "external_id": {"external_ids": values},
            "user_alias": {"user_aliases": values},
            "email": {"email_addresses": [{"email": one, "prioritization": _LATEST} for one in values]},
            "phone": {"phone_numbers": [{"phone": one, "prioritization": _LATEST} for one in values]},
        }[kind]
        response = await self._post(self._url("/users/delete"), orjson.dumps(body), doing)
        deleted = document(response, doing, deleted=int)["deleted"]
        if not 0 <= deleted <= len(values):
            raise foreign(response, doing, f"{deleted} counted, {len(values)} named")
        return DeleteAnswer(response.status_code, deleted, self._rate(response))

    async def probe_delete(self) -> None:
        """Ask whether the key may delete profiles, by a request that names none.

        Raises:
            As `probe_track`.
        """
        doing = "checking the Braze key"
        try:
            document(await self._post(self._url("/users/delete"), b'{"external_ids":[]}', doing), doing)
        except RefusedError as refused:
            if refused.status != HTTPStatus.BAD_REQUEST:
                raise

    async def probe_track(self) -> None:
        """Ask whether endpoint, key and permission are right, by a track request without objects: writes nothing.

        Raises:
            ConfigurationError: they are not.
            TransientError: Braze did not answer, or asked to come again.
        """
        doing = "checking the Braze key"
        try:
            acknowledged(await self._post(self._url("/users/track"), b'{"attributes":[]}', doing), doing)
        except RefusedError as refused:
            # Key and permission are looked at before the body: a complaint about the empty body means both are right.
            if refused.status != HTTPStatus.BAD_REQUEST:
                raise

    async def _export(self, who: Mapping[str, Any], fields: Sequence[str]) -> ExportAnswer:
        doing = "exporting profiles"
        response = await self._post(
            self._url("/users/export/ids"), orjson.dumps({**who, "fields_to_export": list(fields)}), doing
        )
        answer = document(response, doing, users=list, message=str)
        missing = answer.get("invalid_user_ids") or []
        if not all(isinstance(user, dict) for user in answer["users"]) or not isinstance(missing, list):
            raise foreign(response, doing, "a user that is no object")
        # Whoever is asked for by an id is in one of the two; an answer with neither would pass for a deletion.
        if not answer["users"] and not missing and (who.get("external_ids") or who.get("user_aliases")):
            raise foreign(response, doing, "neither users nor ids without one")
        return ExportAnswer(answer["users"], [str(one) for one in missing], self._rate(response))

    def _refusal(self, response: httpx.Response, doing: str) -> CallError | ConfigurationError:
        plain = super()._refusal(response, doing)
        body = parsed(response.content)
        if not isinstance(plain, RefusedError) or not isinstance(body, dict):
            return plain
        return TrackRefusedError(
            str(plain),
            status=response.status_code,
            message_text=plain.message_text,
            rate=plain.rate,
            errors=_errors(body, response.request),
        )


def _one_kind(identifiers: Sequence[Mapping[str, Any]], doing: str, limit: int) -> tuple[str, list[Any]]:
    """The kind that all identifiers have, and their values."""
    kinds = {kind for one in identifiers for kind in one}
    if len(kinds) != 1 or not kinds <= {"external_id", "user_alias", "email", "phone"}:
        raise PermanentError(f"{doing}: {len(kinds)} kinds of identifiers in one call; give one kind")
    if len(identifiers) > limit:
        raise PermanentError(f"{doing}: {len(identifiers)} identifiers in one call; give {limit} at most")
    (kind,) = kinds
    return kind, [one[kind] for one in identifiers]


def _id(value: Any) -> str:
    """How `invalid_user_ids` names an external id or an alias."""
    return str(value["alias_name"]) if isinstance(value, Mapping) else str(value)


def _errors(answer: Mapping[str, Any], request: httpx.Request) -> tuple[ObjectError, ...]:
    return tuple(_error(entry, request) for entry in entries(answer))


def _error(entry: Any, request: httpx.Request) -> ObjectError:
    """An entry as far as it can be read: an index that is no position would blame another row."""
    if not isinstance(entry, dict):
        return ObjectError(None, None, masked(str(entry), request)[:_TYPE_CHARS])
    index, array, kind = entry.get("index"), entry.get("input_array"), entry.get("type")
    usable = isinstance(index, int) and not isinstance(index, bool) and index >= 0
    return ObjectError(
        index=index if usable else None,
        input_array=masked(array, request) if isinstance(array, str) else None,
        type=masked(str(kind if kind is not None else entry.get("message", "no reason given")), request)[:_TYPE_CHARS],
    )

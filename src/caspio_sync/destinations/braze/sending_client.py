"""Braze's REST API: messages that a call triggers."""

from http import HTTPStatus

from caspio_sync.destinations.braze.session import BrazeSession
from caspio_sync.errors import CallError, ConfigurationError
from caspio_sync.wire.answers import ForeignAnswerError, disowned, document, entries
from caspio_sync.wire.http import RefusedError
from caspio_sync.wire.masking import masked
from caspio_sync.wire.taken import Taken

CAMPAIGN, CANVAS = "/campaigns/trigger/send", "/canvas/trigger/send"
_ASKED = {
    "campaigns.trigger.send": CAMPAIGN,
    "canvas.trigger.send": CANVAS,
    # No campaign has this id: whatever the key may do, nothing is sent.
    "transactional.send": "/transactional/v1/campaigns/00000000-0000-0000-0000-000000000000/send",
}
_NOTHING = b"{}"
_UNKNOWN = ("invalid campaign id", "invalid canvas id", "campaign not found", "canvas not found")


def transactional(campaign: str) -> str:
    """The path of a transactional campaign."""
    return f"/transactional/v1/campaigns/{campaign}/send"


class SendingClient(BrazeSession):
    """The endpoints that send messages; arguments as for `BrazeSession`."""

    PERMISSIONS = "campaigns.trigger.send, canvas.trigger.send, transactional.send"

    async def send(self, path: str, body: bytes, *, seconds: float | None = None) -> Taken:
        """POST one send: at most 50 recipients, of a transactional campaign one (Braze, 13).

        Nothing is deduplicated, apart from transactional messages with an `external_send_id`. Recipients who are not
        known are passed over without a word.

        Args:
            path: `CAMPAIGN`, `CANVAS`, or `transactional` of a campaign.
            body: the finished JSON document.
            seconds: for the answer; by default, and at the most, the client's own time limit.

        Returns:
            What a 2xx said; with `doubt` nothing is known of any recipient, nor with `unsettled`: it was taken with
            errors that name nobody.

        Raises:
            TransientError: another attempt may help; `ambiguous` where the messages may have been sent.
            RefusedError: the request was refused, and nothing was sent.
            ConfigurationError: endpoint, key, permission, or a campaign or Canvas that is not there, or is paused.
        """
        doing = "triggering messages"
        try:
            response = await self._post(self._url(path), body, doing, seconds)
        except RefusedError as refused:
            if refused.message_text.lower().startswith(_UNKNOWN):
                raise ConfigurationError(
                    f"{doing}: Braze knows no such campaign or Canvas ({refused.message_text}); nothing was sent. Give "
                    "its API identifier, and set it to be triggered by the API"
                ) from refused
            raise
        try:
            answer = document(response, doing, dispatch_id=str)
        except ForeignAnswerError as doubt:
            return Taken(response.status_code, (), self._rate(response), doubt=str(doubt))
        if answer.get("notice"):  # paused or archived: it is a success that sends nothing (Braze, 13)
            raise ConfigurationError(
                f"{doing}: the Canvas is paused or archived, and nothing was sent; resume it in Braze, then run again"
            )
        if told := entries(answer):  # "non-fatal errors": it is not told whom they are about (Braze, 13)
            said = masked("; ".join(map(str, told)), response.request)
            return Taken(response.status_code, (), self._rate(response), unsettled=f"Braze took it with errors: {said}")
        return Taken(response.status_code, (), self._rate(response))

    async def ask(self, path: str) -> None:
        """Ask, by a request that sends nothing, whether Braze answers.

        Raises:
            As `send`, apart from `RefusedError`.
        """
        doing = "checking the Braze key"
        try:
            document(await self._post(self._url(path), _NOTHING, doing), doing)
        except RefusedError as refused:
            if refused.status != HTTPStatus.BAD_REQUEST:
                raise

    async def allowed(self) -> list[str]:
        """Which of the permissions the key has, by requests that send nothing.

        Raises:
            ConfigurationError: endpoint or key are not right, or it has none.
            TransientError: Braze did not answer, or asked to come again.
        """
        doing, allowed = "checking the Braze key", []
        for permission, path in _ASKED.items():
            response = await self._answered("POST", self._url(path), _NOTHING, doing)
            if response.status_code == HTTPStatus.FORBIDDEN and disowned(response) is None:
                continue
            refused: CallError | ConfigurationError | None = None
            if not response.is_success and not isinstance(refused := self._refusal(response, doing), RefusedError):
                raise refused
            allowed.append(permission)
        if not allowed:
            raise ConfigurationError(
                f"{doing}: it has none of {self.PERMISSIONS}; permissions cannot be changed on an existing key, so "
                "make a new one that has what the sync needs"
            )
        return allowed

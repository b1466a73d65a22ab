"""The webhook by which ActiveCampaign tells an engagement return what happens to people: made, repaired, taken away.

Its address holds the secret that proves posts, so no text here shows it. Whether it was switched off (ActiveCampaign
does so where it is answered 410) is told by no call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from caspio_sync.destinations.activecampaign.answers import LostAnswerError
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.engine.finding import Finding
from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.http import is_loopback

EVENTS = ("subscribe", "unsubscribe", "bounce", "sent", "open", "click")
SOURCES = ("public", "admin", "system")  # without `api`: what we write there does not come back
_PREFIX = "caspio-sync "
_PATH, _NAME = "/webhooks", "webhooks"


@dataclass(frozen=True, slots=True)
class _Webhook:
    id: str
    name: str
    url: str
    events: frozenset[str]
    sources: frozenset[str]
    listid: str

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "_Webhook":
        events, sources = (frozenset(map(str, row.get(name) or ())) for name in ("events", "sources"))
        number, name, url = (str(row.get(name) or "") for name in ("id", "name", "url"))
        return cls(number, name, url, events, sources, str(row.get("listid") or "0"))


class OwnWebhooks:
    """The webhook of one sync, found by its name.

    Args:
        client: of the account.
        sync: name of the sync.
    """

    def __init__(self, client: ActiveCampaignClient, sync: str) -> None:
        self._client, self._sync = client, sync

    @property
    def name(self) -> str:
        """What it is called there."""
        return f"{_PREFIX}{self._sync}"

    def check(self, root: str) -> None:
        """As `OwnHooks.check`."""
        address(root, "")

    async def install(self, root: str, secret: str) -> Sequence[str]:
        """Make it, or set right what differs; what was done, for people.

        Args:
            root: where the receiver is reached from outside, such as https://hooks.example.com.
            secret: of the receiver's feed.

        Raises:
            ConfigurationError: ActiveCampaign calls no such address, or takes no such webhook.
        """
        url = address(root, secret)
        wanted = {"name": self.name, "url": url, "events": list(EVENTS), "sources": list(SOURCES), "listid": None}
        own = await self._own()
        if not own:
            return await self._make(wanted)
        first, doubled = own[0], own[1:]
        for each in doubled:
            await self._delete(each)
        done = [f"{len(doubled)} more of its name deleted"] if doubled else []
        if not (differs := _differs(first, url)):
            return done
        body = {"webhook": wanted}
        await self._client.ask("PUT", f"{_PATH}/{first.id}", "changing the webhook", body)
        after = next((each for each in await self._own() if each.id == first.id), None)
        if after is None or _differs(after, url):  # it is not changed by that
            await self._delete(first)
            return [*done, *await self._make(wanted)]
        return [*done, f"set right: {', '.join(differs)}"]

    async def uninstall(self) -> tuple[bool, bool]:
        """Take it away.

        Returns:
            Whether there was one, and whether another sync has one here.
        """
        own = await self._own()
        for each in own:
            await self._delete(each)
        return bool(own), any(each.name.startswith(_PREFIX) for each in await self._all())

    async def findings(self, secret: str) -> Sequence[Finding]:
        """Whether it is as it should be, for a receiver with this secret; "" for none."""
        own = await self._own()
        again = f"`caspio-sync webhooks install {self._sync} --url …`"
        if not own and not secret:
            what = "no webhook: opens and clicks are not told, opt-outs and bounces by the schedule's polls"
            return [Finding("ok", f"{what}; {again} makes one")]
        if not own:
            said = f"its webhook '{self.name}' is gone from ActiveCampaign: opens and clicks are not told"
            return [Finding("warning", said, f"{again} makes it anew; polls find the opt-outs and bounces")]
        if not secret or not urlsplit(own[0].url).path.endswith(f"/activecampaign/{secret}"):
            said = "its webhook posts to an address with another secret than CASPIO_SYNC_ACTIVECAMPAIGN_SECRET"
            return [Finding("warning", f"{said}: the receiver answers 401, and nothing is posted again", again)]
        if differs := _differs(own[0], own[0].url):
            return [Finding("warning", f"its webhook is not as it should be: {', '.join(differs)}", again)]
        return [Finding("ok", f"webhook: hears {', '.join(EVENTS)}; whether it is switched on, no call tells")]

    async def _make(self, wanted: Mapping[str, Any]) -> Sequence[str]:
        try:
            await self._client.ask_once(_PATH, "making the webhook", {"webhook": wanted})
        except LostAnswerError:
            if not await self._own():
                raise
        return [f"hears {', '.join(EVENTS)}, of everybody but calls"]

    async def _own(self) -> list[_Webhook]:
        return [each for each in await self._all() if each.name == self.name]

    async def _all(self) -> list[_Webhook]:
        return [_Webhook.read(each) for each in await self._client.rows(_PATH, _NAME, "reading webhooks")]

    async def _delete(self, webhook: _Webhook) -> None:
        await self._client.ask("DELETE", f"{_PATH}/{webhook.id}", "deleting a webhook")


def address(root: str, secret: str) -> str:
    """Where the webhook posts to.

    Raises:
        ConfigurationError: ActiveCampaign does not call it: https on port 443 alone (ActiveCampaign, webhooks).
    """
    parts = urlsplit(root.strip())
    try:
        usual = parts.port in {None, 443}
    except ValueError:
        usual = False
    secure = (parts.scheme == "https" and usual) or (parts.scheme == "http" and is_loopback(root))
    if not secure or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(
            "--url: ActiveCampaign calls https:// on port 443 alone; give the receiver's public address, such as "
            "https://hooks.example.com"
        )
    return f"{root.strip().rstrip('/')}/activecampaign/{secret}"


def _differs(webhook: _Webhook, url: str) -> list[str]:
    """What is not as it should be, for people."""
    missing, foreign = set(EVENTS) - webhook.events, webhook.sources - set(SOURCES)
    return [
        *(["it posts to another address"] if webhook.url != url else []),
        *([f"it does not hear {', '.join(sorted(missing))}"] if missing else []),
        *(["it does not hear everybody"] if set(SOURCES) - webhook.sources else []),
        *(["it hears what calls do, our own too"] if foreign else []),
        *(["it hears of one list alone"] if webhook.listid != "0" else []),
    ]

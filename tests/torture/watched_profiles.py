"""A profile sync that is watched: consent is never overtaken, and what was acknowledged is not sent again."""

import asyncio
from typing import Any

from tests.torture.customers import SYNC, CustomerShop
from tests.torture.watched import Watched

OPT_OUT = {"external_id", "_update_existing_only", "email_subscribe"}  # the object of a "no" alone


class WatchedProfiles(Watched):
    """A shop's customers."""

    SYNC = "customers"
    WRITES = "track"
    KILLED_AT = ("caspio:comes", "caspio:done", "track:comes", "track:done", "track:done")
    FULL = 0.2
    shop: CustomerShop

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        (self.folder / "customers.yaml").write_text(SYNC, encoding="utf-8")
        self._last_request = 0
        self._loose: dict[str, int] = {}  # version of the last state that was not an opt-out, by key
        self._strict: dict[str, str] = {}  # state of the profiles, by key

    def made_shop(self) -> CustomerShop:
        return CustomerShop(self.rng, self.clock)

    def named(self, scope: Any) -> str:
        return "track"

    @property
    def written(self) -> int:
        return self.shop.braze.requests

    def look(self) -> None:
        fresh = [entry for entry in self.shop.braze.log if entry.request > self._last_request]
        if not fresh:
            return
        self._last_request = fresh[-1].request
        keys = [str(entry.object["external_id"]) for entry in fresh]
        self._arrived.append((asyncio.get_running_loop().time(), self._last_request, keys))
        for key, entry in zip(keys, fresh, strict=True):
            # A "no" is told again after a death: what a batch left open sent last is not known (`Ledger.unfinished`).
            if key in self.acknowledged and not OPT_OUT.issuperset(entry.object):
                self.faults.append(f"{key} was acknowledged and arrived again: {entry.object}")
            self._look_at_consent(key, entry.object)

    def _look_at_consent(self, key: str, sent: dict[str, Any]) -> None:
        profile = self.shop.braze.profile(key)
        if profile is None:
            return  # an opt-out makes no profile
        state, before = profile["email_subscribe"], self._strict.get(key)
        self._strict[key] = state
        version = sent.get("version")
        if state == "unsubscribed":
            return
        history, since = self.shop.history[key], self._loose.get(key, -1)
        read = [
            each.number
            for each in history
            if each.row["Version"] == version and state in self.shop.states_of(key, each.row)
        ]
        optouts = [each.number for each in history if each.number > since and each.row["Newsletter"] == "no"]
        if before == "unsubscribed" and (not read or not optouts or min(optouts) > max(read)):
            self.faults.append(f"{key} was {before} and became {state} by an older version: {sent}")
        if read:
            self._loose[key] = max(since, read[0])

    def look_at_everything(self, *, shared: bool) -> None:
        for key in self.shop.history:
            if shared or key not in self.shop.shared:
                self.faults += self.shop.faults_of(key)
        others = set(self.shop.braze.profiles()) - set(self.shop.history)
        self.faults += [f"nobody is called {key}" for key in others]
        self.look_at_verdicts()

"""A sync of contacts that is watched: nobody who left is put on a list, nobody is enrolled or made twice."""

from collections import Counter
from typing import Any

from tests.torture.arena import Ended
from tests.torture.contacts import SYNC, ContactShop
from tests.torture.processes import Order
from tests.torture.watched import Watched

_API = "/api/3"


class WatchedContacts(Watched):
    """A shop's people."""

    SYNC = "contacts"
    WRITES = "contacts"
    KILLED_AT = ("caspio:comes", "caspio:done", "contacts:comes", "contacts:done", "contacts:done")
    FULL = 0.1
    RUNS = (3, 4, 5, 6)
    EDITS = (4, 6, 8, 12)  # who turns, and turns again
    shop: ContactShop

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        (self.folder / "contacts.yaml").write_text(SYNC, encoding="utf-8")
        self._said_no: set[tuple[str, str]] = set()  # id of a contact and name of a list, off by an opt-out

    def made_shop(self) -> ContactShop:
        return ContactShop(self.rng, self.clock)

    async def run(self, order: Order) -> Ended:
        ended = await super().run(order)
        if not ended.status:
            self.shop.unsettled.clear()
        return ended

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        ours = scope["path"].startswith(_API)
        name = self.named(scope) if ours else "caspio"
        self._happens(f"{name}:comes")

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                if ours:
                    self.look()
                self._happens(f"{name}:done")
            await send(message)

        await (self.shop.account.app if ours else self.shop.caspio.app)(scope, receive, answer)

    def named(self, scope: Any) -> str:
        return "contacts" if scope["method"] != "GET" else "asked"

    @property
    def written(self) -> int:
        writes = {path: count for path, count in self.shop.account.calls.items() if not path.startswith("GET ")}
        return sum(writes.values())

    def look(self) -> None:
        store = self.shop.account.store
        numbers = Counter(self.shop.number(each) for each in store.contacts.values())
        self.faults += [f"{number} is {count} contacts" for number, count in numbers.items() if number and count > 1]
        for contact in store.contacts.values():
            number = self.shop.number(contact)
            for automation, times in contact.entered.items():
                if times > 1:
                    self.faults.append(f"{number} entered {automation} {times} times")
                if not any(row["Status"] == "new" for row in self.shop.of_person(number)):
                    self.faults.append(f"{number} entered {automation}, and its condition was never met")
            for each, row in contact.lists.items():
                name = store.lists[each]
                if row["status"] == "1" and ((number, name) in self.shop.left or (contact.id, name) in self._said_no):
                    self.faults.append(f"{number} left {name}, and is on it again")
                if row["status"] == "2" and name == "Newsletter":
                    self._said_no.add((contact.id, name))

    def look_at_everything(self, *, shared: bool) -> None:
        for row in self.shop.rows.values():
            self.faults += self.shop.faults_of(row["Email"])
        self.look()
        self.look_at_verdicts()

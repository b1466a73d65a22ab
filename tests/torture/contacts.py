"""A shop's people, and what ActiveCampaign must hold of them: plain Python, no line of the product's."""

from typing import Any, ClassVar

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.activecampaign.store import Contact
from tests.torture.shop import Row, Shop

WORDS = ("Yoga", "Pilates", "Running")
FIELDS: list[Row] = [
    {"Name": "No", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Spend", "Type": "NUMBER"},
    {"Name": "Words", "Type": "LIST-STRING", "ListField": list(WORDS)},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Status", "Type": "STRING"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "GMT Standard Time"},
]
# Two rows of a batch may fail; three block it.
SYNC = """\
kind: profiles
destination: activecampaign
source: {table: People, cursor: ChangedAt}
identity: {email: Email}
fields:
  firstName: FirstName
  No: No
  Spend: {from: Spend, on_null: clear}
tags:
  VIP: {when: "Spend > 100"}
  from: Words
  prefix: "shop: "
lists:
  Newsletter: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
  Offers: {when: "Spend > 50"}
automations:
  Welcome: {enrol_when: "Status = 'new'", once: true}
options: {create: true}
gate: {max_quarantined_rows: 2}
"""
HELD_AT_MOST = 2
BY_HAND = "met at the fair"


def is_sound(row: Row) -> bool:
    """Whether the gate lets the row through."""
    return "@" in row["Email"]


class ContactShop(Shop):
    """The people of a shop, each with a number that never changes; no two rows have an address in common."""

    TABLE = "People"
    FIELDS: ClassVar[list[Row]] = FIELDS
    KEY = "Email"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Whoever is let in twice is enrolled twice: the account would not prevent it.
        behaviour = ActiveCampaignBehaviour(
            multientry=True,
            import_seconds=0.01,
            calls_per_second=100_000,
            imports_a_minute=100_000,
            single_imports_a_minute=100_000,
        )
        self.account = ActiveCampaignSandbox(behaviour, self.clock)
        self.left: set[tuple[str, str]] = set()  # number of a person, and a list that the person left
        # Rows that changed since a run came to its end. A value that went and came back meanwhile, and was sent by a run
        # that died in between, stays there: what the ledger acknowledged is what the row says (ledger/compare.py).
        self.unsettled: set[int] = set()
        self._people = 0
        self._addresses = 0

    # The rows, by what happens to them in a shop.

    def add(self, **more: Any) -> int:
        self._people += 1
        row = {
            "No": f"n{self._people}",
            "Email": self._address(),
            "FirstName": self.rng.choice(("Ada", "Zoë", "Bo", "李")),
            "Spend": self.rng.choice((None, 10, 60, 160)),
            "Words": self._words(),
            "Newsletter": self.rng.choice(("yes", "no", "")),
            "Status": self.rng.choice(("new", "old")),
            **more,
        }
        return self.insert(row)

    def edit(self) -> None:
        """One thing that happens in a shop."""
        # The same few again and again: who is taken off a list, leaves it, and would be put on once more.
        pk = self.rng.choice(sorted(self.rows)[: 5 if self.rng.random() < 0.7 else None])
        row = self.rows[pk]
        kind = self.rng.choices(
            ("add", "name", "spend", "words", "opt out", "opt in", "status", "move", "drop", "break", "heal", "leave", "tag"),
            (12, 4, 24, 10, 10, 8, 14, 8, 3, 3, 6, 16, 3),
        )[0]  # fmt: skip
        if kind in {"name", "spend", "words", "opt out", "opt in", "status"}:
            if pk in self.unsettled:
                kind = "move"
            self.unsettled.add(pk)
        if kind == "add":
            self.unsettled.add(self.add())
        elif kind == "name":
            self.change(pk, FirstName=self.rng.choice(("Eve", "Kim", "Åsa")))
        elif kind == "spend":
            self.change(pk, Spend=self.rng.choice((None, 10, 20, 60, 70, 160, 170)))
        elif kind == "words":
            self.change(pk, Words=self._words())
        elif kind == "opt out":
            self.change(pk, Newsletter="no")
        elif kind == "opt in":
            self.change(pk, Newsletter="yes")
        elif kind == "status":
            self.change(pk, Status="old" if row["Status"] == "new" else "new")
        elif kind == "move" and is_sound(row):
            self.change(pk, Email=self._address())
        elif kind == "drop" and len(self.rows) > 5:
            self.drop(pk)
        elif kind == "break":
            self._addresses += 1
            self.change(pk, Email=f"no address {self._addresses}")
        elif kind == "heal" and not is_sound(row):
            self.change(pk, Email=self._address())
        elif kind in {"leave", "tag"} and (there := self.contact(row["No"])) is not None:
            self._by_hand(kind, row["No"], there)

    def _by_hand(self, kind: str, number: str, there: Contact) -> None:
        store = self.account.store
        if kind == "tag":
            store.tag(there, BY_HAND, self.clock.now().timestamp())
            return
        known = [name for each, name in store.lists.items() if each in there.lists]
        if known:  # also who is off a list may say that they want it no more
            name = self.rng.choice(known)
            self.account.set_status(there.email, name, "2")
            self.left.add((number, name))

    def spoil_a_batch(self) -> None:
        """More bad rows next to each other than the gate lets pass."""
        for pk in sorted(self.rows)[: HELD_AT_MOST + 2]:
            self._addresses += 1
            self.change(pk, Email=f"no address {self._addresses}")

    def heal(self) -> None:
        """Somebody corrects the rows; few enough bad ones are left for the gate."""
        bad = [pk for pk, row in sorted(self.rows.items()) if not is_sound(row)]
        for pk in bad[HELD_AT_MOST:]:
            self.change(pk, Email=self._address())

    def share(self, *keys: str) -> None:
        """An address that somebody gave up is nobody's from then on."""

    def is_sound(self, row: Row) -> bool:
        return is_sound(row)

    def _address(self) -> str:
        self._addresses += 1
        return f"a{self._addresses}@example.com"

    def _words(self) -> list[int]:
        return sorted(self.rng.sample((1, 2, 3), self.rng.randint(0, 3)))

    # What ActiveCampaign must hold.

    def of_person(self, number: str) -> list[Row]:
        """Every version of a person's row, in their order."""
        edits = sorted((each for edited in self.history.values() for each in edited), key=lambda each: each.number)
        return [each.row for each in edits if each.row["No"] == number]

    def number(self, contact: Contact) -> str:
        """Whose contact it is."""
        titles = {each.id: each.title for each in self.account.store.fields.values()}
        return next((value for field, value in contact.values.items() if titles[field] == "No"), "")

    def contact(self, number: str) -> Contact | None:
        """The contact of a person."""
        return next((each for each in self.account.store.contacts.values() if self.number(each) == number), None)

    def faults_of(self, key: str) -> list[str]:
        """What is wrong with the contact of an address, once everything has been read."""
        row = next((row for row in self.rows.values() if row["Email"] == key), None)
        if row is None or not is_sound(row):
            return []
        held = self.account.contacts().get(key)
        if held is None:
            return [f"{key}: no contact"]
        spend = row["Spend"] or 0
        fields = {"No": row["No"], **({"Spend": str(row["Spend"])} if row["Spend"] is not None else {})}
        tags = {f"shop: {WORDS[each - 1]}" for each in row["Words"]} | ({"VIP"} if spend > 100 else set())
        told = {"firstName": held["firstName"], "fields": held["fields"], "tags": set(held["tags"]) - {BY_HAND}}
        wanted = {"firstName": row["FirstName"], "fields": fields, "tags": tags}
        faults = [] if told == wanted else [f"{key}: {told} instead of {wanted}"]
        for name, states in self._states(row).items():
            if held["lists"].get(name) not in states:
                faults.append(f"{key}: {held['lists'].get(name)} on {name} instead of {states}")
        return faults

    def _states(self, row: Row) -> dict[str, set[str | None]]:
        """What the status on each list may be: who left, or was taken off once, may be off for good."""
        before = self.of_person(row["No"])
        news: set[str | None] = {"2"}
        if row["Newsletter"] != "no":
            states = {each["Newsletter"] for each in before}
            news = {"1"} if states == {"yes"} else {None} if states == {""} else {None, "1", "2"}
            news |= {"2"} if (row["No"], "Newsletter") in self.left else set()
        met = [(each["Spend"] or 0) > 50 for each in before]
        on: set[str | None] = {"1"} if all(met) else {"1", "2"}
        off: set[str | None] = {None} if not any(met) else {None, "2"}
        offers = on if met[-1] else off
        offers = offers | ({"2"} if (row["No"], "Offers") in self.left else set())
        return {"Newsletter": news, "Offers": offers}

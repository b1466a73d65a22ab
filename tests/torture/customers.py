"""A shop's customers, and what Braze must hold of them: plain Python, no line of the product's."""

from typing import Any, ClassVar

from tests.torture.shop import Row, Shop

FIELDS: list[Row] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "Version", "Type": "NUMBER"},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Notes", "Type": "TEXT"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "GMT Standard Time"},
]
# Two rows of a batch may fail; three block it.
SYNC = """\
kind: profiles
source: {table: Customers, cursor: ChangedAt}
identity: {external_id: CustomerNo}
fields:
  first_name: FirstName
  email: Email
  version: Version
  notes: {from: Notes, on_null: clear}
consent:
  email_subscribe: {from: Newsletter, map: {yes: subscribed, no: unsubscribed, double: opted_in}}
gate: {max_quarantined_rows: 2}
"""
HELD_AT_MOST = 2
STATES = {"yes": "subscribed", "no": "unsubscribed", "double": "opted_in"}
STRICTEST_FIRST = ("unsubscribed", "subscribed", "opted_in")


def is_sound(row: Row) -> bool:
    """Whether the gate lets the row through, as long as no other row has its key."""
    return "@" in row["Email"]


def profile_of(row: Row) -> Row:
    """The profile Braze must hold of a sound row."""
    notes = {"notes": row["Notes"]} if row["Notes"] else {}
    return {
        "external_id": row["CustomerNo"],
        "first_name": row["FirstName"],
        "email": row["Email"],
        "email_subscribe": STATES[row["Newsletter"]],
        "custom_attributes": {"version": row["Version"], **notes},
    }


def compared(profile: Row) -> Row:
    """A profile of the emulator, without what Braze alone decides."""
    kept = ("external_id", "first_name", "email", "email_subscribe", "custom_attributes")
    return {name: profile[name] for name in kept if name in profile}


def without_consent(profile: Row) -> Row:
    return {name: value for name, value in profile.items() if name != "email_subscribe"}


class CustomerShop(Shop):
    """The customers of a shop."""

    TABLE = "Customers"
    FIELDS: ClassVar[list[Row]] = FIELDS
    KEY = "CustomerNo"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._versions = 0
        self._customers = 0

    # The rows, by what happens to them in a shop.

    def add(self, **more: Any) -> int:
        self._customers += 1
        number = self._customers
        row = {
            "CustomerNo": f"c{number}",
            "FirstName": self.rng.choice(("Ada", "Zoë", "Bo", "李")),
            "Email": f"c{number}@example.com",
            "Version": self._next_version(),
            "Newsletter": self.rng.choice(("yes", "no", "double")),
            "Notes": self.rng.choice(("", "likes blue", "x" * 60)),
            **more,
        }
        return self.insert(row)

    def change(self, pk: int, *, quietly: bool = False, **values: Any) -> None:
        """Update a row; its version moves on, unless `quietly`."""
        super().change(pk, **({} if quietly else {"Version": self._next_version()}), **values)

    def edit(self) -> None:
        """One thing that happens in a shop."""
        pk = self.rng.choice(sorted(self.rows))
        row = self.rows[pk]
        kind = self.rng.choices(
            ("add", "name", "email", "opt out", "opt in", "notes", "drop", "break", "heal", "share", "rename"),
            (10, 14, 8, 22, 10, 8, 4, 8, 8, 4, 4),
        )[0]
        if kind == "add":
            self.add()
        elif kind == "name":
            self.change(pk, FirstName=self.rng.choice(("Eve", "Kim", "Åsa")))
        elif kind == "email":
            self.change(pk, Email=f"new{self._versions}.{row['CustomerNo']}@example.com")
        elif kind == "opt out" and row["Newsletter"] != "no":
            spoiled = {"Email": f"no address {self._versions}"} if self.rng.random() < 0.25 else {}
            self.change(pk, Newsletter="no", quietly=self.rng.random() < 0.5, **spoiled)
        elif kind == "opt in":
            self.change(pk, Newsletter=self.rng.choice(("yes", "double")))
        elif kind == "notes":
            self.change(pk, Notes=self.rng.choice(("", "moved", "y" * 40)))
        elif kind == "drop" and len(self.rows) > 5:
            self.drop(pk)
        elif kind == "break":
            self.change(pk, Email=f"no address {self._versions}")
        elif kind == "heal" and not is_sound(row):
            self.change(pk, Email=f"{row['CustomerNo']}@example.com")
        elif kind == "share":
            self.shared.add(row["CustomerNo"])
            self.add(CustomerNo=row["CustomerNo"])
        elif kind == "rename":
            self._customers += 1
            self.change(pk, CustomerNo=f"c{self._customers}")

    def spoil_a_batch(self) -> None:
        """More bad rows next to each other than the gate lets pass."""
        for pk in sorted(self.rows)[: HELD_AT_MOST + 2]:
            self.change(pk, Email=f"no address {self._versions}")

    def heal(self) -> None:
        """Somebody corrects the rows; few enough bad ones are left for the gate."""
        seen: set[str] = set()
        left = HELD_AT_MOST
        for pk, row in sorted(self.rows.items()):
            if is_sound(row) and row["CustomerNo"] not in seen:
                seen.add(row["CustomerNo"])
            elif left:
                left -= 1
                seen.add(row["CustomerNo"])
            elif row["CustomerNo"] in seen:
                self.drop(pk)
            else:
                seen.add(row["CustomerNo"])
                self.change(pk, Email=f"{row['CustomerNo']}@example.com")

    def _next_version(self) -> int:
        self._versions += 1
        return self._versions

    def is_sound(self, row: Row) -> bool:
        return is_sound(row)

    # What Braze must hold.

    def bearers(self, key: str) -> list[int]:
        return [pk for pk, row in self.rows.items() if row["CustomerNo"] == key]

    def states_of(self, key: str, row: Row) -> set[str]:
        """The states that Braze may have: of two rows of one key the stricter, also of one that is gone by now."""
        own = STATES[row["Newsletter"]]
        told = [STATES[each.row["Newsletter"]] for each in self.history[key]] if key in self.shared else []
        return {own, *(state for state in told if STRICTEST_FIRST.index(state) < STRICTEST_FIRST.index(own))}

    def faults_of(self, key: str) -> list[str]:
        """What is wrong with Braze's profile of a key, once everything has been read."""
        found = self.braze.profile(key)
        held = None if found is None else compared(found)
        bearers = self.bearers(key)
        row = self.rows[bearers[0]] if len(bearers) == 1 else None
        if row is not None and is_sound(row):
            wanted, states = profile_of(row), self.states_of(key, row)
            sound = held in [wanted | {"email_subscribe": state} for state in states]
            return [] if sound else [f"{key}: {held} instead of {wanted}"]
        faults = []
        versions = [without_consent(profile_of(each.row)) for each in self.history[key] if is_sound(each.row)]
        if held is not None and without_consent(held) not in versions:
            faults.append(f"{key}: {held} is none of its versions")
        if row is not None and held is not None and row["Newsletter"] == "no":
            # The gate holds the row; its opt-out left all the same. Whoever has the address too may have opted in since.
            sharing = [one for one in self.braze.profiles().values() if one.get("email") == held["email"]]
            if len(sharing) == 1 and held["email_subscribe"] != "unsubscribed":
                faults.append(f"{key}: opted out, and still {held['email_subscribe']}")
        return faults

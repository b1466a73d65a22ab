"""`verify` of events: whether the destination counts as many of a person as were sent.

Events are not read back one by one: of a person the destination tells how many there were of each name that was active
lately (Braze, 6.1: 90 days). Others send events of the same names, so that only fewer than were sent is a finding.
"""

from typing import Literal

from pydantic import BaseModel, Field

from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.workspace import known_accounts
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import Settings

USUAL_SAMPLE = 500  # people: ten requests
_EXAMPLES = 5


class CountsReport(BaseModel):
    """What counting found; every person looked at is in exactly one of the last three groups.

    Args:
        sync: name of the sync.
        people: looked at.
        rows: that were sent of them.
        unknown: events of the sync whose answer was lost; they count for nothing here.
        enough: people of whom the destination counts as many, or more.
        fewer: people of whom it counts fewer.
        not_shown: people of whom it shows none: none arrived, or none of late.
        examples: PK_IDs of rows of people with fewer.
    """

    sync: str
    people: int = 0
    rows: int = 0
    unknown: int = 0
    enough: int = 0
    fewer: int = 0
    not_shown: int = 0
    examples: list[int] = Field(default_factory=list)

    def lines(self, title: str) -> list[str]:
        """For people."""
        few = f", such as that of PK_ID {', '.join(map(str, self.examples))}" if self.examples else ""
        return [
            f"{self.people:,} people looked at, of whom {self.rows:,} rows were sent",
            f"{self.enough:,}: {title} counts as many, or more",
            f"{self.fewer:,}: {title} counts fewer{few}",
            f"{self.not_shown:,}: {title} shows none; of what is older than 90 days it tells nothing",
            f"{self.unknown:,} events of the sync are unknown, and counted nowhere here",
        ]


async def count_back(name: str, *, settings: Settings, sample: int | Literal["usual"] | None = "usual") -> CountsReport:
    """Hold what the destination counts of people against what was sent of them; nothing is written.

    Args:
        name: name of the sync.
        settings: accounts, limits, places.
        sample: people, drawn evenly; None for all.

    Raises:
        ConfigurationError, TransientError: as the accounts say.
    """
    connect, definition = CONNECT.get(), load_sync(settings.sync_file(name))
    destination = destination_of(definition)
    most = USUAL_SAMPLE if sample == "usual" else sample
    ledger = LedgerThread(connect.ledger(settings, connect.clock))
    try:
        await known_accounts(name, settings, ledger.ledger, connect)
        people = await ledger.do(ledger.ledger.people_sent, name, most)
        unknown = (await ledger.do(ledger.ledger.count_unknown)).get(name, 0)
    finally:
        ledger.close()
    report = CountsReport(sync=name, people=people.height, rows=int(people["rows"].sum()), unknown=unknown)
    async with connect.account(destination, connect.clock) as account:
        counted = await destination.sink(definition).counted(account, people["key"].to_list())
    for count, (_, pk, rows) in zip(counted, people.iter_rows(), strict=True):
        if count is None:
            report.not_shown += 1
        elif count >= rows:
            report.enough += 1
        else:
            report.fewer += 1
            report.examples = [*report.examples, pk][:_EXAMPLES]
    return report

"""Before anything leaves, the ledger has shown that it can write down what became of it."""

import pytest
import sqlalchemy as sa

from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.leases import HIGHEST_PK, LOWEST_PK
from caspio_sync.ledger.store import Ledger


def test_trying_leaves_nothing_behind(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        ledger.try_recording("customers", "r")
        assert ledger.read_rows("customers", LOWEST_PK, HIGHEST_PK).is_empty()
        assert ledger.delivered("customers", "r", 0).is_empty()
        with ledger.reading("look") as connection:
            left = [
                connection.execute(sa.text(f"SELECT count(*) FROM {each}")).scalar() for each in ("sending", "unfolded")
            ]
        assert left == [0, 0]


@pytest.mark.parametrize("table", ["row", "outcome", "sending", "unfolded"])
def test_what_cannot_be_recorded_is_told(ledger_url: str, table: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        with ledger.writing("break it") as connection:
            connection.execute(sa.text(f'ALTER TABLE "{table}" RENAME TO elsewhere'))
        with pytest.raises(CaspioSyncError, match="Could not record what is to be sent"):
            ledger.try_recording("customers", "r")

"""A catalog whose pages, or a table whose answers, end early while it is verified: what was not shown is not missing."""

from typing import Any

import pytest

from caspio_sync.errors import TransientError
from caspio_sync.sandbox.faults import Fault
from tests.flows.test_verify_catalog import PRODUCTS, SYNC, stock, verify
from tests.flows.world import World

PAGES = "/catalogs/products/items"
ROWS = "/integrations/rest/v3/tables/Products/records"


@pytest.fixture
def stocked(world: World) -> World:
    world.sync(SYNC, "products")
    world.caspio.create_table("Products", PRODUCTS)
    return stock(world, 200)


def test_items_behind_a_page_that_ended_the_catalog_early_are_read_one_by_one(stocked: World) -> None:
    app = stocked.braze.app

    async def ending(scope: Any, receive: Any, send: Any) -> None:
        async def without_link(message: Any) -> None:
            if message["type"] == "http.response.start" and scope["path"] == PAGES:
                message = {**message, "headers": [each for each in message["headers"] if each[0].lower() != b"link"]}
            await send(message)

        await app(scope, receive, without_link)

    stocked.braze.app = ending  # type: ignore[method-assign]
    report = verify(stocked)
    assert (report.pages, report.missing, report.equal) == (1, 0, 200)


def test_rows_that_a_short_answer_leaves_out_are_not_gone(stocked: World) -> None:
    stocked.break_caspio(Fault(kind="short", path=ROWS, nth=(1,), rows=10))
    report = verify(stocked)
    assert (report.gone, report.equal) == (0, 200)


def test_rows_that_caspio_counts_and_does_not_give_end_the_verification(stocked: World) -> None:
    stocked.break_caspio(Fault(kind="short", path=ROWS, every=1, rows=0))
    with pytest.raises(TransientError, match="is not known to be the answer of that host itself"):
        verify(stocked)
    stocked.break_caspio()
    assert verify(stocked).equal == 200

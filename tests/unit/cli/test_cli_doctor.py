"""`caspio-sync doctor` as a command: what it prints, how it ends, and what it leaves alone."""

import importlib
import socket
from datetime import timedelta
from typing import Any

import pytest

from caspio_sync.sandbox.faults import Fault, Faults, FaultyApp
from tests.unit.cli.conftest import Shop


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def levels(document: Any) -> list[str]:
    return [each["level"] for each in document["findings"]]


def test_a_machine_with_nothing_wrong(shop: Shop) -> None:
    shop.write_sync()
    shop.record({"A1": ("sent", None)})
    with shop.ledger() as ledger:
        ledger.finish_run("run-1", state="done", exit_code=0)
    calls = shop.caspio.calls
    ended = shop.run("doctor")
    assert ended.exit_code == 0, ended.output
    assert "nothing is wrong" in ended.output
    assert shop.caspio.calls - calls == 2  # a token and a count
    assert set(levels(shop.document("doctor"))) == {"ok"}


def test_an_orphaned_run_ends_with_exit_code_2_and_its_remedy(shop: Shop) -> None:
    shop.write_sync()
    shop.record({"A1": ("sent", None)})
    ended = shop.run("doctor")
    assert ended.exit_code == 2
    assert "→ run the sync: `caspio-sync run customers`" in ended.output
    assert "1 to correct, 0 to think about" in ended.output


def test_a_clock_that_is_wrong(shop: Shop) -> None:
    shop.write_sync()
    shop.clock.advance(timedelta(minutes=5).total_seconds())
    ended = shop.run("doctor")
    assert ended.exit_code == 2
    assert "ahead of Caspio's" in ended.output
    assert not (shop.folder / "home" / "ledger.db").exists()


@pytest.mark.parametrize(
    ("date", "level", "said"),
    [
        ({"header": "absent"}, "warning", "no readable Date header"),
        ({"seconds": 3600.0}, "error", "3600 s behind Caspio's (its Date header); runs read on from the earlier"),
        ({"seconds": -3600.0}, "error", "3599 s ahead of Caspio's (its Date header); runs read on from the earlier"),
    ],
)
def test_a_date_of_caspios_that_cannot_be_right_is_named(shop: Shop, date: Any, level: str, said: str) -> None:
    shop.write_sync()
    faults = Faults(faults=(Fault(kind="date", **date),))
    shop.caspio.app = FaultyApp(shop.caspio.app, faults, shop.clock)  # type: ignore[assignment]
    found = [each for each in shop.document("doctor")["findings"] if said in each["what"]]
    assert [each["level"] for each in found] == [level]


def test_caspio_out_of_reach_is_a_finding(shop: Shop) -> None:
    shop.write_sync()
    shop.unreachable.add("caspio")
    assert "error" in levels(shop.document("doctor"))


def test_a_server_that_does_not_answer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_sync()
    settings = importlib.import_module("prefect.settings")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        monkeypatch.setenv("PREFECT_API_URL", url)
        # Prefect reads its settings when it is imported, which another test may have done.
        with settings.temporary_settings({settings.PREFECT_API_URL: url}):
            document = shop.document("doctor")
    (finding,) = [each for each in document["findings"] if each["level"] == "error"]
    assert "does not answer" in finding["what"]
    assert "make serve" in finding["remedy"]

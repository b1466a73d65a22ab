"""`caspio-sync doctor` as a command: what it prints, how it ends, and what it leaves alone."""

import socket
from datetime import timedelta
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def levels(document: Any) -> list[str]:
    return [each["level"] for each in document["findings"]]


def test_a_machine_with_nothing_wrong(shop: Any) -> None:
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


def test_an_orphaned_run_ends_with_exit_code_2_and_its_remedy(shop: Any) -> None:
    shop.write_sync()
    shop.record({"A1": ("sent", None)})
    ended = shop.run("doctor")
    assert ended.exit_code == 2
    assert "→ run the sync: `caspio-sync run customers`" in ended.output
    assert "1 to correct, 0 to think about" in ended.output


def test_a_clock_that_is_wrong(shop: Any) -> None:
    shop.write_sync()
    shop.clock.advance(timedelta(minutes=5).total_seconds())
    ended = shop.run("doctor")
    assert ended.exit_code == 2
    assert "ahead of Caspio's" in ended.output
    assert not (shop.folder / "home" / "ledger.db").exists()


def test_caspio_out_of_reach_is_a_finding(shop: Any) -> None:
    shop.write_sync()
    shop.unreachable.add("caspio")
    assert "error" in levels(shop.document("doctor"))


def test_a_server_that_does_not_answer(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_sync()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{probe.getsockname()[1]}/api")
    for name in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "PREFECT_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "1" if name == "DO_NOT_TRACK" else "false" if "ANALYTICS" in name else "CRITICAL")
    document = shop.document("doctor")
    (finding,) = [each for each in document["findings"] if each["level"] == "error"]
    assert "does not answer" in finding["what"]
    assert "make serve" in finding["remedy"]

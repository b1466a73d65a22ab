"""What `status` and `check` say of freshness, incidents and the place for messages."""

import warnings
from typing import Any

import pytest

from tests.unit.cli.conftest import Shop

HELD = {"A1": ("sent", None), "B2": ("quarantined", "email_format"), "C3": ("blocked", "consent required")}


@pytest.fixture
def read(shop: Shop) -> Shop:
    """A sync with a target, read completely, ten minutes ago."""
    shop.write_sync(shop.write_sync().read_text() + "freshness: 15m\n")
    shop.record(HELD)
    with shop.ledger() as ledger:
        freshness = {"newest_delivered_at": "2026-03-02T11:59:00Z"}
        ledger.finish_run("run-1", state="done", exit_code=0, report={"freshness": freshness})
        ledger.move_cursor("customers", watermark=shop.clock.now(), where_digest="d")
    shop.clock.advance(600)
    return shop


def test_status_holds_the_ages_against_the_target(read: Shop) -> None:
    assert read.document("status", "customers")["freshness"] == {
        "target_seconds": 900.0,
        "read_up_to_age_seconds": 600.0,
        "newest_delivered_changed_at": "2026-03-02T11:59:00Z",
        "oldest_undelivered_at": "2026-03-02T12:00:00+00:00",
        "missed": False,
    }
    assert "kept: changes are read up to 10 min ago, target 15 min; oldest row that waits: 10 min" in (
        read.run("status", "customers").output
    )


def test_status_grows_old_though_nothing_runs_and_fails_nobody(read: Shop) -> None:
    read.clock.advance(600)
    result = read.run("status", "customers")
    assert result.exit_code == 0
    assert "MISSED: changes are read up to 20 min ago" in result.output
    assert read.document("status", "customers")["freshness"]["missed"] is True


def test_status_without_a_target_judges_nothing(read: Shop) -> None:
    read.write_sync()
    assert read.document("status", "customers")["freshness"]["missed"] is None
    assert "no target" in read.run("status", "customers").output


def test_status_of_a_sync_that_was_never_read_says_so(shop: Shop) -> None:
    shop.write_sync(shop.write_sync().read_text() + "freshness: 15m\n")
    assert shop.document("status", "customers")["freshness"]["missed"] is None
    assert "nothing was read completely yet; target 15 min" in shop.run("status", "customers").output


def test_status_names_what_is_wrong_and_since_when(read: Shop) -> None:
    with read.ledger() as ledger:
        ledger.open_incident("customers", "failed")
    assert read.document("status", "customers")["incidents"] == [
        {"kind": "failed", "since": "2026-03-02T12:10:00+00:00"}
    ]
    assert "failed since" in read.run("status", "customers").output


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("json://user:MARKED@127.0.0.1/hook", 0, "notifications: by JSON"),
        ("nothing://MARKED", 2, "is no address that Apprise knows"),
        (None, 0, "notifications: none"),
    ],
)
def test_check_reads_the_place_for_messages_and_does_not_show_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, url: str, code: int, words: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Apprise's plugins import what Python 3.11 deprecates
        import apprise

        apprise.Apprise().add("json://127.0.0.1")
    if url is not None:
        monkeypatch.setenv("CASPIO_SYNC_NOTIFY_URL", url)
    shop.write_sync()
    result = shop.run("check", "customers")
    assert result.exit_code == code
    assert words in result.stdout
    assert "MARKED" not in result.stdout


@pytest.mark.parametrize(("schedule", "found"), [("*/15 * * * *", True), ("*/5 * * * *", False)])
def test_check_warns_of_a_schedule_that_cannot_keep_the_target(shop: Shop, schedule: str, found: Any) -> None:
    shop.write_sync(shop.write_sync().read_text() + f'freshness: 10m\nschedule: "{schedule}"\n')
    result = shop.run("check", "customers")
    assert result.exit_code == 0
    assert ("the schedule leaves up to 15 min between two runs" in result.stdout) is found

"""`docs/http.md` shows sync files that run as they stand there, but for the host."""

import re
from pathlib import Path

import pytest

from caspio_sync.sandbox.http.behaviour import SANDBOX_SECRET, SIGNING_SECRET, HttpBehaviour
from caspio_sync.sandbox.http.emulator import HttpSandbox
from tests.flows.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def endpoint(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three people in Caspio, and the secrets that the page names."""
    monkeypatch.setenv("HTTP_SECRETS", f'{{"warehouse": "{SANDBOX_SECRET}", "signing": "{SIGNING_SECRET}"}}')
    world.customers([world.person(1), world.person(2, Newsletter="no"), world.person(3, Email="")])
    return world


def as_shown(world: World, text: str) -> None:
    world.sync(text.replace("https://warehouse.example.com", "http://warehouse.test"), "warehouse")


def test_the_page_shows_two_files() -> None:
    assert len(SHOWN) == 2


def test_the_first_file_runs(endpoint: World) -> None:
    as_shown(endpoint, SHOWN[0])
    assert endpoint.ended("warehouse").code == 0
    assert endpoint.http.rows == {
        "c1": {
            "external_id": "c1",
            "first_name": "Name1",
            "email": "c1@example.com",
            "spend": 0.25,
            "email_subscribe": "subscribed",
        },
        "c2": {
            "external_id": "c2",
            "first_name": "Name2",
            "email": "c2@example.com",
            "spend": 0.5,
            "email_subscribe": "unsubscribed",
        },
        "c3": {
            "external_id": "c3",
            "first_name": "Name3",
            "email": None,
            "spend": 0.75,
            "email_subscribe": "subscribed",
        },
    }


def test_the_file_with_templates_runs(endpoint: World) -> None:
    endpoint.http = HttpSandbox(HttpBehaviour(auth="hmac"), endpoint.clock)
    as_shown(endpoint, SHOWN[1])
    assert endpoint.ended("warehouse").code == 0
    assert endpoint.http.rows["c2"] == {"external_id": "c2", "name": "NAME2", "worth": 0.5}
    assert len(endpoint.http.rows) == 3

"""The end of the demo: two mailings go out in the emulated Braze, people react, and Currents tells of it."""

import contextlib
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from caspio_sync.errors import TransientError

CAMPAIGNS = {"5e3b1f00-0000-4000-8000-000000000001": "Spring news", "5e3b1f00-0000-4000-8000-000000000002": "Sale"}
# Of each ten people: what the first, second, … does with a mail, after it was sent. The others leave it unread.
_REACTIONS: Sequence[tuple[str, ...]] = (
    ("Delivery", "Open", "Open", "Click"),
    ("Delivery", "Open"),
    ("Delivery", "machine"),
    ("Bounce",),
    ("Delivery", "Open", "Unsubscribe"),
    *((("Delivery",),) * 5),
)


@contextlib.contextmanager
def receiver(port: int = 0) -> Iterator[tuple[str, str]]:
    """`caspio-sync receive` as a process: its address for Currents, and the token it asks for."""
    token = secrets.token_urlsafe(24)
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "caspio_sync", "receive", "--port", str(port)],
        env={**os.environ, "CASPIO_SYNC_RECEIVER_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = next((word.rstrip(";") for word in said.split() if word.startswith("http://")), None)
        if address is None:
            raise TransientError("the receiver did not start; `caspio-sync receive` says why")
        yield address, token
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


def mail(braze_url: str, external_ids: Sequence[str]) -> int:
    """Let the emulated Braze send both mailings to these people, and some of them react; how many events that made."""
    began = datetime.now(UTC) - timedelta(hours=30)
    messages: list[dict[str, Any]] = []
    for day, campaign in enumerate(CAMPAIGNS):
        for place, external_id in enumerate(external_ids):
            at = began + timedelta(days=day, seconds=place)
            # Who had enough of the first mailing, or could not be reached, gets no second one.
            reactions = _REACTIONS[place % len(_REACTIONS)]
            if day and {"Bounce", "Unsubscribe"} & set(reactions):
                continue
            for minutes, reaction in enumerate(("Send", *reactions)):
                machine = {"machine_open": "true"} if reaction == "machine" else {}
                kind = "Open" if reaction == "machine" else reaction
                moment = (at + timedelta(minutes=minutes)).isoformat()
                messages.append(
                    {"kind": f"email.{kind}", "external_id": external_id, "at": moment, "campaign_id": campaign}
                    | machine
                )
    told = post(f"{braze_url}/sandbox/messages", {"campaigns": CAMPAIGNS, "messages": messages})
    return int(told["waiting"])


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask one of the sandbox's own routes."""
    request = urllib.request.Request(url, orjson.dumps(body), {"Content-Type": "application/json"})  # noqa: S310 - the sandbox's own address
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - as above
        return dict(orjson.loads(answer.read()))

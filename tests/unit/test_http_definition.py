"""A sync file of `destination: http`: what is refused, with its line and without its secrets."""

from pathlib import Path

import pytest

from caspio_sync.caspio.client import Source
from caspio_sync.cli.init import propose
from caspio_sync.engine.destination import destination_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import parse_sync, sync_json_schema
from caspio_sync.schemas import CaspioField

SYNC = """\
kind: profiles
destination: http
source: {table: People}
identity: {external_id: No}
fields: {first_name: First, spend: Spend}
consent: {email_subscribe: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}}
request:
  url: https://warehouse.example.com/rows
  batch: 75
auth: {bearer: warehouse}
on_opt_out: {url: "https://warehouse.example.com/opt-outs", body: [external_id, email_subscribe]}
"""


def refused(before: str, after: str) -> str:
    assert before in SYNC
    with pytest.raises(ConfigurationError) as caught:
        parse_sync(SYNC.replace(before, after, 1), Path("syncs/warehouse.yaml"))
    return str(caught.value)


def test_a_file_says_where_its_rows_go() -> None:
    sync = parse_sync(SYNC, Path("syncs/warehouse.yaml"))
    destination = destination_of(sync)
    assert (destination.name, destination.title) == ("http", "warehouse.example.com")
    assert [each.objects for each in destination.sink(sync).envelopes] == [75, 1]


@pytest.mark.parametrize(
    ("before", "after", "line", "told"),
    [
        ("bearer: warehouse", "bearer: S3cret-t0ken", 10, "auth.bearer: names a secret of HTTP_SECRETS"),
        ("{bearer: warehouse}", "{bearer: a, hmac: b}", 10, "auth: says two ways"),
        ("{bearer: warehouse}", "digest", 10, "auth: is `none`, or one of"),
        ("  batch: 75", "  headers: {Authorization: Bearer S3cret}\n  batch: 75", 9, "use `auth`"),
        ("  batch: 75", "  headers: {X-Api-Key: S3cret}\n  batch: 75", 9, "use `auth`"),
        ("  batch: 75", "  headers: {Content-Type: text/plain}\n  batch: 75", 9, "is no header that"),
        ("  batch: 75", '  headers: {X-A: "a\\r\\nX-B: b"}\n  batch: 75', 9, "has a value that no header has"),
        ("com/rows", "com/rows?token=S3cret", 8, "is a secret that everybody"),
        ("https://warehouse", "https://user:S3cret@warehouse", 8, "is no address whose host"),
        ("com/rows", "com/rows/{{ key }}", 8, "write `batch: 1`"),
        ("batch: 75", "batch: 1001", 9, "request.batch"),
        ("batch: 75", "batch: 0", 9, "request.batch"),
        ("batch: 75", "batch: 75\n  encoding: form", 10, "a form holds the fields of one row"),
        ("batch: 75", "batch: 75\n  body: [external_id, name]", 10, "'name' stands for nothing here"),
        ("batch: 75", "batch: 75\n  body: '{\"rows\": {{ row }}}'", 10, "'row' stands for nothing here"),
        ("batch: 75", "batch: 75\n  body: '{\"rows\": {{ rows }'", 10, "of the template"),
        ("batch: 75", "batch: 75\n  body: [spend]", 7, "says nowhere whom a row is about"),
        ("first_name: First", "external_id: First", 5, "what the key is called"),
        ("first_name: First", "rows: First", 5, "is what templates call"),
        ("external_id: No}", "user_alias: {name: No, label: x}}", 4, "does not know anybody by `user_alias`"),
        ("auth:", "when_lost: never\nauth:", 10, "not built yet"),
        ("auth:", "answers: {errors: errors}\nauth:", 10, "is no path of names"),
        ("auth:", "answers: {ok: [2yy]}\nauth:", 10, "is no status"),
        ("auth:", "limits: {requests_a_second: 0}\nauth:", 10, "limits.requests_a_second"),
        ("auth:", "verify: {url: 'https://warehouse.example.com/rows'}\nauth:", 10, "says nowhere whom it is about"),
        (
            "auth:",
            "on_erase: {url: 'https://warehouse.example.com/{{ spend }}'}\nauth:",
            10,
            "'spend' stands for nothing",
        ),
        ("on_opt_out:", "on_optout:", 11, "unknown key"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(before: str, after: str, line: int, told: str) -> None:
    said = refused(before, after)
    assert told in said
    assert f"syncs/warehouse.yaml:{line}: " in said
    assert "S3cret" not in said


def test_consent_needs_a_way_for_opt_outs() -> None:
    said = refused(
        'on_opt_out: {url: "https://warehouse.example.com/opt-outs", body: [external_id, email_subscribe]}\n', ""
    )
    assert "syncs/warehouse.yaml:6: consent: an opt-out leaves ahead of everything" in said


@pytest.mark.parametrize("kind", ["catalog", "events", "purchases", "engagement"])
def test_kinds_that_are_not_built_are_refused_with_their_line(kind: str) -> None:
    said = refused("kind: profiles", f"kind: {kind}")
    assert f"syncs/warehouse.yaml:2: destination: 'http' takes no sync of kind '{kind}'; it takes: profiles" in said


def test_a_proposal_can_be_read_and_leads_nowhere() -> None:
    fields = [
        CaspioField("No", "STRING", unique=True),
        CaspioField("First Name", "STRING"),
        CaspioField("Seen", "YES/NO"),
    ]
    text = propose("warehouse", Source("People"), fields, "profiles", destination="http")
    sync = parse_sync(text, Path("syncs/warehouse.yaml"))
    assert destination_of(sync).title == "host.invalid"
    assert not sync.enabled


def test_the_schema_of_sync_files_knows_the_keys() -> None:
    profiles = sync_json_schema()["$defs"]["ProfileSync"]["properties"]
    assert {"request", "auth", "answers", "on_erase", "on_opt_out", "verify", "limits", "options"} <= profiles.keys()
    assert "request" not in sync_json_schema()["$defs"]["ProfileSync"]["required"]  # of other destinations' files

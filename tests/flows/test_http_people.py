"""Profiles to an endpoint: what arrives there, in which order, and what is told of it."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.engine.finding import Finding
from caspio_sync.sandbox.faults import Fault
from caspio_sync.sandbox.http.behaviour import HttpBehaviour
from caspio_sync.sandbox.http.emulator import HttpSandbox
from caspio_sync.settings import current_settings
from tests.destinations.stage import HttpPeople
from tests.flows.gateway import between
from tests.flows.world import World

HOST = "http://warehouse.test"
KEYED = """\
kind: profiles
destination: http
source: {table: People}
identity: {external_id: No}
fields: {spend: Spend, email: {from: Email, on_null: clear}}
request: {method: PUT, url: "http://warehouse.test/rows/{{ key }}"}
auth: {bearer: sandbox}
limits: {requests_a_second: 100}
"""


@pytest.fixture
def people(world: World) -> HttpPeople:
    """Four people, nobody of them at the endpoint yet."""
    stage = HttpPeople(world)
    stage.fill(4)
    return stage


def asked(people: HttpPeople) -> list[tuple[str, str]]:
    """What came, in order: place and key."""
    return [(each.path.partition("/")[2], each.key) for each in people.world.http.log]


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def told(people: HttpPeople, *arguments: str) -> Any:
    result = invoke(*arguments, "--json")
    assert result.exit_code in {0, 4}, result.output
    return json.loads(result.stdout)


def test_rows_travel_whole_whatever_changed_of_them(people: HttpPeople) -> None:
    people.ended()
    people.change("p2", Spend=9)
    people.ended(full=True)
    assert people.bodies == [
        [{"external_id": "p2", "spend": 9, "email": "p2@example.com", "email_subscribe": "subscribed"}]
    ]


def test_an_opt_out_is_told_ahead_of_everything(people: HttpPeople) -> None:
    people.ended()
    people.world.http.log.clear()
    people.change("p3", Newsletter="no", Spend=7)
    people.change("p1", Spend=8)
    people.ended(full=True)
    assert asked(people)[0] == ("opt-outs", "p3")
    assert people.world.http.opted_out == {"p3": {"external_id": "p3", "email_subscribe": "unsubscribed"}}
    assert people.world.http.rows["p3"]["email_subscribe"] == "unsubscribed"


def test_a_row_with_an_address_of_its_own_goes_there(people: HttpPeople) -> None:
    people.world.sync(KEYED, people.name)
    people.change("p1", No="a/b?c#../d e")
    assert people.ended().code == 0
    assert set(people.world.http.rows) == {"a/b?c#../d e", "p2", "p3", "p4"}
    assert people.world.http.rows["p2"] == {"external_id": "p2", "spend": 0.5, "email": "p2@example.com"}


@pytest.mark.parametrize("key", [".", ".."])
def test_a_key_that_would_lead_elsewhere_is_refused_as_its_row(people: HttpPeople, key: str) -> None:
    people.world.sync(KEYED, people.name)
    people.change("p1", No=key)
    people.ended()
    verdict, reason = people.outcomes()[key]
    assert verdict == "rejected"
    assert "cannot stand in an address" in str(reason)
    assert set(people.world.http.rows) == {"p2", "p3", "p4"}


def test_an_empty_field_is_left_out_unless_it_clears(people: HttpPeople) -> None:
    people.world.sync(KEYED, people.name)
    people.change("p1", Email="", Spend=None)
    people.ended()
    assert people.world.http.rows["p1"] == {"external_id": "p1", "email": None}


def test_a_template_makes_the_body(people: HttpPeople) -> None:
    body = '{"external_id": {{ key }}, "worth": {{ spend | default(0) }}, "mail": {{ email }}, "from": "caspio"}'
    people.world.sync(KEYED.replace('{{ key }}"}', f'{{{{ key }}}}", body: {body!r}}}'), people.name)
    people.change("p1", Email='"},"admin":true,{"x":"@example.com')
    assert people.ended().code == 0
    assert people.world.http.rows["p1"]["mail"] == '"},"admin":true,{"x":"@example.com'
    assert people.world.http.rows["p2"] == {
        "external_id": "p2",
        "worth": 0.5,
        "mail": "p2@example.com",
        "from": "caspio",
    }


@pytest.mark.parametrize("encoding", ["ndjson", "form"])
def test_other_encodings_arrive(people: HttpPeople, encoding: str) -> None:
    batch = 1 if encoding == "form" else 3
    text = KEYED.replace("method: PUT, ", "").replace(
        '/rows/{{ key }}"}', f'/rows", encoding: {encoding}, batch: {batch}}}'
    )
    people.world.sync(text, people.name)
    assert people.world.ended(people.name).code == 0
    spend = {key: float(row["spend"]) for key, row in people.world.http.rows.items()}
    assert spend == people.expected()


@pytest.mark.parametrize(
    "behaviour",
    [{"answers": "empty"}, {"answers": "page"}, {"taken_status": 204}],
    ids=["empty", "a page", "204"],
)
def test_what_is_no_answer_of_the_endpoint_leaves_no_row_sent(people: HttpPeople, behaviour: Any) -> None:
    people.world.http = HttpSandbox(HttpBehaviour(**behaviour), people.world.clock)
    ended = people.ended()
    assert ended.code == 4
    assert {verdict for verdict, _ in people.outcomes().values()} <= {"unknown"}
    people.world.http.behaviour = HttpBehaviour()
    assert people.ended().code == 0
    assert {verdict for verdict, _ in people.outcomes().values()} == {"sent"}
    assert people.arrived() == people.expected()


def test_rows_that_the_endpoint_leaves_out_are_rejected_with_its_words(people: HttpPeople) -> None:
    answer = orjson.dumps({"taken": 3, "errors": [{"index": 1, "message": "no such 'Spend' of p2@example.com"}]})
    people.world.http.app = between(people.world.http.app, "/rows", lambda _: answer)  # type: ignore[method-assign]
    people.world.ended(people.name)
    verdicts = people.outcomes()
    assert [key for key, (verdict, _) in verdicts.items() if verdict == "rejected"] == ["p2"]
    assert "p2@example" not in str(verdicts["p2"][1])


@pytest.mark.parametrize("answer", [b'{"errors":[{"message":"one of them"}]}', b'{"errors":[{"index":77}]}', b"cut {"])
def test_an_error_without_a_row_leaves_none_sent(people: HttpPeople, answer: bytes) -> None:
    people.world.http.app = between(people.world.http.app, "/rows", lambda _: answer)  # type: ignore[method-assign]
    people.world.ended(people.name)
    assert {verdict for verdict, _ in people.outcomes().values()} == {"unknown"}


def test_a_person_is_erased_and_proven_gone(people: HttpPeople) -> None:
    people.ended()
    people.world.clock.advance(3600)
    (subject,) = told(people, "erase", "people", "p2", "--yes")["subjects"]
    assert subject["state"] == "proven"
    assert set(people.world.http.rows) == {"p1", "p3", "p4"}
    people.ended(full=True, resend=True)
    assert set(people.world.http.rows) == {"p1", "p3", "p4"}


def test_a_path_that_is_wrong_deletes_and_proves_nobody(people: HttpPeople) -> None:
    text = people.SYNC.replace('DELETE, url: "http://warehouse.test/rows/', 'DELETE, url: "http://warehouse.test/row/')
    text = text.replace('verify: {url: "http://warehouse.test/rows/', 'verify: {url: "http://warehouse.test/row/')
    assert text.count("/row/") == 2
    people.world.sync(text.replace(", ok: [2xx, 404]", ""), people.name)
    people.ended()
    people.world.clock.advance(3600)
    result = invoke("erase", "people", "p2", "--yes", "--json")
    assert json.loads(result.stdout)["subjects"][0]["state"] == "requested"
    assert "p2" in people.world.http.rows
    ended = people.ended()
    assert any("404 is nobody, or a wrong path" in note for note in ended.report.notes)


@pytest.mark.parametrize("lacking", ["on_erase", "verify"])
def test_an_erasure_that_cannot_be_proven_is_never_called_done(people: HttpPeople, lacking: str) -> None:
    lines = [line for line in people.SYNC.splitlines(keepends=True) if not line.startswith(lacking)]
    people.world.sync("".join(lines), people.name)
    people.ended()
    people.world.clock.advance(3600)
    result = invoke("erase", "people", "p2", "--yes", "--json")
    (subject,) = json.loads(result.stdout)["subjects"]
    assert result.exit_code == 4
    assert "not proven at warehouse.test, and never called done" in invoke("erase", "people", "p2", "--yes").stdout
    assert subject["state"] == {"on_erase": "requested", "verify": "deleted"}[lacking]
    before = people.world.clock.monotonic()
    ended = people.ended(full=True)
    assert ended.report is not None
    assert any("not proven at warehouse.test" in each for each in ended.report.notes)
    assert people.world.clock.monotonic() - before < 3600 + 10  # nobody waits for a proof that cannot come
    assert ("p2" in people.world.http.rows) == (lacking == "on_erase")
    people.change("p2", Spend=99)
    people.ended(full=True)
    assert people.world.http.rows.get("p2", {}).get("spend") != 99  # blocked all the same


def test_what_was_sent_is_read_back(people: HttpPeople) -> None:
    from caspio_sync.verification.verifying import verify

    people.ended()
    people.world.clock.advance(86_400)
    people.world.http.rows["p1"]["spend"] = 999
    people.world.http.rows["p2"]["spend"] = "0.5"  # the same, as text
    del people.world.http.rows["p3"]
    found = asyncio.run(verify("people", settings=current_settings("people"), restart=True))
    assert (found.equal, found.differing, found.missing, found.retyped) == (2, 1, 1, {"spend": 1})
    people.ended(full=True)
    assert people.world.http.rows["p1"]["spend"] == 0.25
    assert "p3" in people.world.http.rows


def test_rows_that_went_to_another_place_do_not_pass_for_sent(people: HttpPeople) -> None:
    """The same host, and another path there: nothing of what the ledger tells of is in it."""
    people.ended()
    lines = [line for line in people.SYNC.splitlines(keepends=True) if not line.startswith(("verify", "on_erase"))]
    people.world.sync("".join(lines).replace("/rows", "/people"), people.name)
    ended = people.ended(full=True)
    assert ended.code == 2
    assert "--same-workspace" in ended.message
    people.world.sync(people.SYNC.replace("warehouse.test", "lake.test"), people.name)
    ended = people.ended(full=True)
    assert ended.code == 2
    assert "lake.test" in ended.message


def test_check_says_what_the_endpoint_is_not_told(people: HttpPeople) -> None:
    from caspio_sync.cli.examine import examine

    def found() -> list[Finding]:
        _, sync = asyncio.run(examine(current_settings("people"), ["people"]))
        return sync.findings

    assert not [each for each in found() if "warehouse.test" in each.what and each.level == "warning"]
    people.world.sync(KEYED, people.name)
    warned = [each.what for each in found() if each.level == "warning"]
    assert "warehouse.test hears of nobody's opt-out" in warned
    assert "warehouse.test is asked to delete nobody" in warned


def test_check_finds_a_secret_that_is_missing_or_not_taken(people: HttpPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    from caspio_sync.cli.examine import examine

    def errors() -> str:
        _, sync = asyncio.run(examine(current_settings("people"), ["people"]))
        return " ".join(each.what for each in sync.findings if each.level == "error")

    assert errors() == ""
    monkeypatch.setenv("HTTP_SECRETS", '{"sandbox": "another-secret"}')
    assert "401" in errors()
    assert "another-secret" not in errors()
    monkeypatch.setenv("HTTP_SECRETS", '{"other": "another-secret"}')
    assert "people.yaml:11: auth: HTTP_SECRETS has no such secret" in errors()
    assert people.world.http.log == []


def test_of_two_states_an_opt_out_tells_the_one_that_was_taken_back(people: HttpPeople) -> None:
    text = people.SYNC.replace(
        "consent:\n", "consent:\n  push_subscribe: {from: Email, map: {nobody: unsubscribed}}\n", 1
    )
    text = text.replace(
        "fields:\n  spend: Spend\n  email: {from: Email, map: {nobody: none}}\n", "fields: {spend: Spend}\n"
    )
    text = text[: text.index("gate:")].replace(
        "body: [external_id, email_subscribe]", "body: [external_id, email_subscribe, push_subscribe]"
    )
    text = text.replace(
        "map: {nobody: unsubscribed}",
        "map: {nobody: unsubscribed, p1@example.com: subscribed, p2@example.com: subscribed, p3@example.com: subscribed, p4@example.com: subscribed}",
    )
    people.world.sync(text, people.name)
    people.ended()
    people.change("p2", Email="nobody")
    people.ended(full=True)
    assert people.world.http.opted_out == {"p2": {"external_id": "p2", "push_subscribe": "unsubscribed"}}


def test_an_opt_out_of_somebody_who_is_not_there_stops_nobody_elses(people: HttpPeople) -> None:
    address = 'on_opt_out: {method: PATCH, url: "http://warehouse.test/nobody/{{ key }}", body: [external_id, email_subscribe]}'
    people.world.sync(
        "\n".join(address if each.startswith("on_opt_out") else each for each in people.SYNC.splitlines()), people.name
    )
    people.ended()
    people.change("p2", Newsletter="no")
    people.change("p3", Spend=77)
    assert people.ended(full=True).code in {0, 4}
    assert people.arrived()["p3"] == 77


def test_an_address_in_clear_is_refused(people: HttpPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_ALLOW_HTTP", "false")
    monkeypatch.setenv("CASPIO_INTEGRATION_URL", "https://caspio.test")
    ended = people.ended()
    assert ended.code == 2
    assert "people.yaml:10: " in ended.message
    assert "everybody on the way" in ended.message


def test_nobody_is_named_in_what_is_told_of_failures(people: HttpPeople) -> None:
    text = KEYED.replace("external_id: No", "email: Email").replace(", email: {from: Email, on_null: clear}", "")
    people.world.sync(text, people.name)
    people.world.break_http(Fault(kind="reset_before", path="/rows"))
    ended = people.ended()
    assert ended.code == 4
    assert "warehouse.test/rows/{{ key }}" in ended.message
    assert "example.com" not in ended.message

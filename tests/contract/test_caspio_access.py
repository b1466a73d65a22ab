"""The emulator against sections 1 and 4 of the Caspio page: hosts, tokens, limits, error bodies."""

import base64
from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from tests.contract.conftest import FORM, HOST, talk
from tests.virtual_clock import VirtualClock

TABLES = "/integrations/rest/v3/tables"


def a_sandbox(**switches: Any) -> CaspioSandbox:
    return CaspioSandbox(CaspioBehaviour(**switches), VirtualClock())


def ask_token(sandbox: CaspioSandbox, **arguments: Any) -> httpx.Response:
    return talk(sandbox, lambda client: client.post("/oauth/token", **arguments), token=False)


# ---- 1.2 token endpoint


def test_token_answer_has_the_documented_keys() -> None:
    answer = ask_token(a_sandbox(), data=FORM)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 86399)


def test_token_by_basic_authorization() -> None:
    basic = base64.b64encode(b"sandbox:sandbox-secret").decode()
    answer = ask_token(
        a_sandbox(), data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
    )
    assert answer.status_code == 200


def test_token_body_is_a_form_whatever_its_content_type() -> None:
    body = b"grant_type=client_credentials&client_id=sandbox&client_secret=sandbox-secret"
    assert ask_token(a_sandbox(), content=body, headers={"Content-Type": "text/plain"}).status_code == 200


def test_token_body_in_json_is_refused() -> None:
    assert ask_token(a_sandbox(), json=FORM).status_code == 400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "wrong"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
    ],
)
def test_token_refusals(change: dict[str, str], error: str) -> None:
    answer = ask_token(a_sandbox(), data=FORM | change)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_refresh_token_gives_a_new_pair_once() -> None:
    sandbox = a_sandbox()
    first = ask_token(sandbox, data=FORM).json()
    form = FORM | {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert ask_token(sandbox, data=form).json()["access_token"] != first["access_token"]
    assert ask_token(sandbox, data=form).status_code == 400


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer unknown", "Basic c2FuZGJveDo="])
def test_call_without_a_living_token_is_401_with_an_empty_body(header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = talk(a_sandbox(), lambda client: client.get(TABLES, headers=headers), token=False)
    assert (answer.status_code, answer.headers["www-authenticate"], answer.content) == (401, "Bearer", b"")


def test_401_body_is_a_switch() -> None:
    answer = talk(a_sandbox(unauthorized_body=True), lambda client: client.get(TABLES), token=False)
    assert answer.json() == {"Message": "Authorization has been denied for this request."}


def test_token_ends_after_its_lifetime() -> None:
    sandbox = a_sandbox(token_seconds=100)

    async def conversation(client: httpx.AsyncClient) -> list[int]:
        statuses = []
        for wait in (99.0, 2.0):
            sandbox.clock.advance(wait)  # type: ignore[attr-defined]
            statuses.append((await client.get(TABLES)).status_code)
        return statuses

    assert talk(sandbox, conversation) == [200, 401]


def test_tokens_can_be_ended_by_hand() -> None:
    sandbox = a_sandbox()

    async def conversation(client: httpx.AsyncClient) -> int:
        sandbox.expire_tokens()
        return (await client.get(TABLES)).status_code

    assert talk(sandbox, conversation) == 401


# ---- 1.1 and 1.3


@pytest.mark.parametrize("path", ["/rest/v3/tables", "/rest/v2/tables", "/integrations/rest/v3/nothing", "/"])
def test_other_addresses_are_404(path: str) -> None:
    answer = talk(a_sandbox(), lambda client: client.get(path))
    assert (answer.status_code, answer.json()["Code"]) == (404, "ObjectNotFound")


def test_forbidden_address_of_the_caller() -> None:
    answer = talk(a_sandbox(ip_forbidden=True), lambda client: client.get(TABLES))
    assert (answer.status_code, answer.json()["Code"]) == (403, "IpForbidden")


def test_object_outside_the_rights_is_403_and_not_listed() -> None:
    sandbox = a_sandbox(hidden_objects=frozenset({"Secret"}))
    for name in ("Open", "Secret"):
        sandbox.create_table(name, [{"Name": "A", "Type": "STRING"}])

    async def conversation(client: httpx.AsyncClient) -> tuple[Any, int, int]:
        listed = (await client.get(TABLES)).json()["Result"]
        read = await client.get(f"{TABLES}/Secret/records")
        inner = await client.get(f"{TABLES}/Open/records", params={"q.where": "A IN (SELECT A FROM Secret)"})
        return listed, read.status_code, inner.status_code

    assert talk(sandbox, conversation) == (["Open"], 403, 403)


def test_object_without_the_right_to_write_is_403() -> None:
    sandbox = a_sandbox(read_only_objects=frozenset({"T"}))
    sandbox.create_table("T", [{"Name": "A", "Type": "STRING"}])
    answer = talk(sandbox, lambda client: client.post(f"{TABLES}/T/records", json={"A": "x"}))
    assert answer.status_code == 403


# ---- 4.1


def test_every_request_is_billed() -> None:
    sandbox = a_sandbox(calls_per_second=1)

    async def conversation(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get(path)).status_code for path in (f"{TABLES}/none", TABLES)]

    assert talk(sandbox, conversation) == [404, 429]
    assert sandbox.calls == 3


def test_window_refuses_until_its_oldest_call_has_left() -> None:
    sandbox = a_sandbox(calls_per_window=2, window_seconds=300, retry_after=True)

    async def conversation(client: httpx.AsyncClient) -> list[httpx.Response]:
        answers = []
        for wait in (0.0, 100.0, 100.0, 100.0):
            sandbox.clock.advance(wait)  # type: ignore[attr-defined]
            answers.append(await client.get(TABLES))
        return answers

    answers = talk(sandbox, conversation)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert answers[2].headers["retry-after"] == "100"


def test_429_carries_its_word_and_by_default_no_wait() -> None:
    answer = talk(a_sandbox(calls_per_second=0), lambda client: client.get(TABLES))
    assert "api-calls-rate" in answer.text
    assert "retry-after" not in answer.headers


def test_address_over_2047_characters_is_414() -> None:
    sandbox = a_sandbox()

    async def conversation(client: httpx.AsyncClient) -> list[int]:
        empty = len(f"{HOST}{TABLES}?x=")
        return [(await client.get(f"{TABLES}?x={'a' * (size - empty)}")).status_code for size in (2047, 2048)]

    assert talk(sandbox, conversation) == [200, 414]


# ---- 4.2


def test_error_body_names_the_request() -> None:
    answer = talk(a_sandbox(), lambda client: client.get(f"{TABLES}/none/records?q.limit=5"))
    body = answer.json()
    assert set(body) == {"Code", "Message", "Resource", "RequestId"}
    assert body["Resource"] == f"{HOST}{TABLES}/none/records"
    assert answer.headers["x-caspio-request-id"] == body["RequestId"]


def test_every_answer_has_an_id_and_a_date() -> None:
    answer = talk(a_sandbox(), lambda client: client.get(TABLES))
    assert answer.headers["x-caspio-request-id"]
    assert answer.headers["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_method_that_an_address_does_not_have_is_405() -> None:
    assert talk(a_sandbox(), lambda client: client.put(TABLES, json={})).status_code == 405


@pytest.mark.parametrize(("limited", "status"), [(False, 200), (True, 429)])
def test_token_requests_may_count_towards_the_limit(limited: bool, status: int) -> None:
    """4.1: every request is billed, token requests too; whether they are limited is open."""
    sandbox = a_sandbox(calls_per_window=1, token_calls_limited=limited)
    assert talk(sandbox, lambda client: client.get(TABLES)).status_code == status

"""The feed of posts: who may post, what is kept of it, and what is answered when it cannot be."""

import asyncio
import base64
import gzip
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr, ValidationError

from caspio_sync.errors import CaspioSyncError
from caspio_sync.feeds import PostFeed
from caspio_sync.inbox import Inbox
from caspio_sync.posts import Posts
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.posts import PostsFeed, Received, keeping
from caspio_sync.sealed import Sealer
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOKEN, OLD = "orders-token-0123456789", "former-token-0123456789"
SIGNING = "whsec_" + base64.b64encode(b"a signing key of thirty-two byte").decode()
FEEDS = {
    "/in/orders": PostFeed(proof="bearer", secrets=(TOKEN, OLD), id="$.order.id"),
    "/in/forms": PostFeed(proof="basic", user="forms", secrets=("forms-password-0123",)),
    "/in/shop": PostFeed(
        proof="hmac", secrets=("shop-secret-0123456",), header="X-Shop-Hmac", encoding="base64", prefix="sha256="
    ),
    "/in/lists": PostFeed(proof="bearer", secrets=(TOKEN,), records="$.events[*]", id="$.id"),
    "/in/signed-lists": PostFeed(proof="standard_webhooks", secrets=(SIGNING,), records="$[*]"),
    "/in/signed": PostFeed(proof="standard_webhooks", secrets=(SIGNING,)),
}
ORDER = {"order": {"id": 7, "email": "ada@example.com", "total": 1.10}}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class PostService:
    """A receiver in this process, with what is kept of posts."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(NOW)
        url = f"sqlite:///{folder}/inbox.db"
        self.file = folder / "inbox.db"
        self.posts, self.inbox = Posts.open(url, clock=self.clock), Inbox.open(url, clock=self.clock)
        self.sealer = Sealer(SecretStr(base64.urlsafe_b64encode(bytes(32)).decode()))
        self.failure: Exception | None = None
        self.commits: list[int] = []
        self.feed = PostsFeed(FEEDS, keep=self._keep, clock=self.clock)
        self.receiver = Receiver(self.inbox, tokens=[], posts=self.feed)

    def _keep(self, received: Sequence[Received]) -> Sequence[str]:
        if self.failure is not None:
            raise self.failure
        self.commits.append(len(received))
        return keeping(self.posts, self.sealer, self.inbox.check)(received)

    def close(self) -> None:
        self.posts.close()
        self.inbox.close()

    def send(self, *requests: tuple[str, bytes, dict[str, str]], health: bool = False) -> list[httpx.Response]:
        """Posts, all at once; at last what /healthz says."""

        async def live() -> list[httpx.Response]:
            app = self.receiver.app
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
            ):
                calls = [client.post(path, content=body, headers=headers) for path, body, headers in requests]
                answers = list(await asyncio.gather(*calls))
                return [*answers, await client.get("/healthz")] if health else answers

        return asyncio.run(live())

    def post(self, path: str, body: Any = ORDER, headers: dict[str, str] | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.send((path, content, headers or {}))[0]

    def kept(self, path: str) -> list[bytes]:
        return [self.sealer.open(sealed) for _, sealed in list(self.posts.each(path, None, 10_000))]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PostService]:
    made = PostService(tmp_path)
    yield made
    made.close()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def shop(body: bytes, secret: str = "shop-secret-0123456", prefix: str = "sha256=") -> dict[str, str]:
    return {"X-Shop-Hmac": prefix + base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()}


def signed(body: bytes, *, number: str = "msg_1", at: datetime = NOW, secret: str = SIGNING) -> dict[str, str]:
    """As the specification of Standard Webhooks says."""
    time = str(int(at.timestamp()))
    content = f"{number}.{time}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return {"webhook-id": number, "webhook-timestamp": time, "webhook-signature": f"v1a,nothing v1,{text}"}


# Who may post.


@pytest.mark.parametrize("token", [TOKEN, OLD])
def test_a_token_of_the_path_is_good_and_the_post_is_kept_as_it_was_written(service: PostService, token: str) -> None:
    body = b'{ "order": {"id": 7, "total": 1.10} }'
    assert service.post("/in/orders", body, {"Authorization": f"Bearer {token}"}).json() == {"message": "kept"}
    assert service.kept("/in/orders") == [body]


@pytest.mark.parametrize("path", ["/in/orders", "/in/forms", "/in/shop", "/in/signed"])
@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Basic !"},
        basic("forms", "wrong-password-0123"), basic("others", "forms-password-0123"),
        basic("forms-password-0123", "forms"), {"Authorization": "Bearer forms-password-0123"},
        {"Authorization": "Basic " + base64.b64encode(b"forms").decode()}, {"X-Shop-Hmac": "sha256="},
        shop(b"{}"), shop(orjson.dumps(ORDER), "another-secret-0123"), shop(orjson.dumps(ORDER), prefix=""),
        {"X-Shop-Hmac": "sha256=\xe4"}, signed(b"{}"), signed(orjson.dumps(ORDER), secret="whsec_" + "QUFB" * 11),
        signed(orjson.dumps(ORDER)) | {"webhook-id": "msg_2"}, signed(orjson.dumps(ORDER)) | {"webhook-timestamp": "1e9"},
        signed(orjson.dumps(ORDER)) | {"webhook-timestamp": ""}, signed(orjson.dumps(ORDER)) | {"webhook-signature": "v1,"},
    ],
)  # fmt: skip
def test_whoever_proves_nothing_is_refused_and_leaves_nothing(
    service: PostService, path: str, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert service.post(path, ORDER, encoded).status_code == 401  # type: ignore[arg-type]
    assert service.kept(path) == []


def test_a_password_a_signature_of_the_body_and_one_by_the_standard(service: PostService) -> None:
    body = orjson.dumps(ORDER)
    for path, headers in (
        ("/in/forms", basic("forms", "forms-password-0123")),
        ("/in/shop", shop(body)),
        ("/in/signed", signed(body)),
    ):
        assert service.post(path, body, headers).status_code == 200
        assert service.kept(path) == [body]


@pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 200), (299, 200), (301, 401)])
def test_a_signature_is_of_now(service: PostService, seconds: float, status: int) -> None:
    body = orjson.dumps(ORDER)
    headers = signed(body, at=datetime.fromtimestamp(NOW.timestamp() + seconds, UTC))
    assert service.post("/in/signed", body, headers).status_code == status


def test_the_example_of_the_specification() -> None:
    """From the Standard Webhooks libraries' own tests."""
    secret, number, time = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    body = b'{"test": 2432232314}'
    headers = signed(body, number=number, at=datetime.fromtimestamp(time, UTC), secret=secret)
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" in headers["webhook-signature"]


# What is kept.


def test_a_post_that_comes_again_is_kept_once(service: PostService) -> None:
    said = [service.post("/in/orders", ORDER, BEARER).json()["message"] for _ in range(3)]
    assert said == ["kept", "duplicate", "duplicate"]
    body = orjson.dumps(ORDER)
    headers = (
        signed(body),
        signed(body, at=datetime.fromtimestamp(NOW.timestamp() + 60, UTC)),
        signed(body, number="n"),
    )
    answers = service.send(*(("/in/signed", body, each) for each in headers))
    assert sorted(each.json()["message"] for each in answers) == ["duplicate", "kept", "kept"]
    assert len(service.kept("/in/orders")) == 1


def test_what_arrives_together_is_committed_together_each_once_in_order(service: PostService) -> None:
    bodies = [orjson.dumps({"order": {"id": number // 2}}) for number in range(100)]
    answers = service.send(*(("/in/orders", body, BEARER) for body in bodies))
    assert sorted(each.json()["message"] for each in answers) == ["duplicate"] * 50 + ["kept"] * 50
    assert [orjson.loads(each)["order"]["id"] for each in service.kept("/in/orders")] == list(range(50))
    assert len(service.commits) < 20


def test_without_an_id_every_post_is_a_new_one(service: PostService) -> None:
    headers = basic("forms", "forms-password-0123")
    assert [service.post("/in/forms", ORDER, headers).json()["message"] for _ in range(2)] == ["kept", "kept"]


def test_paths_do_not_share_ids(service: PostService) -> None:
    service.post("/in/orders", {"order": {"id": "msg_1"}}, BEARER)
    body = orjson.dumps(ORDER)
    assert service.post("/in/signed", body, signed(body)).json()["message"] == "kept"


def test_nothing_of_a_post_can_be_read_on_the_disk(service: PostService) -> None:
    service.post("/in/orders", {"order": {"id": "ada@example.com", "name": "Ada Lovelace"}}, BEARER)
    service.close()
    stored = b"".join(each.read_bytes() for each in service.file.parent.iterdir())
    assert b"inbox_posted" in stored
    assert b"ada@example.com" not in stored
    assert b"Lovelace" not in stored


def test_each_record_of_a_list_is_kept_by_itself_and_once(service: PostService) -> None:
    body = b'{"at": 1, "events": [{"id": 1, "n": 1.10}, {"id": 2}, {"id": 1}]}'
    assert service.post("/in/lists", body, BEARER).json()["message"] == "kept"
    assert service.post("/in/lists", {"events": [{"id": 2}]}, BEARER).json()["message"] == "duplicate"
    assert service.post("/in/lists", {"events": [{"id": 2}, {"id": 3}]}, BEARER).json()["message"] == "kept"
    assert service.post("/in/lists", {"events": []}, BEARER).status_code == 200
    assert service.kept("/in/lists") == [b'{"id":1,"n":1.10}', b'{"id":2}', b'{"id":3}']


def test_a_list_that_comes_again_under_its_id_is_kept_once(service: PostService) -> None:
    body = b'[{"a": 1}, {"a": 1}]'
    said = [service.post("/in/signed-lists", body, signed(body)).json()["message"] for _ in range(2)]
    assert said == ["kept", "duplicate"]
    assert service.kept("/in/signed-lists") == [b'{"a":1}'] * 2
    assert service.post("/in/signed-lists", b"[]", signed(b"[]")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"events": {}},
        {"events": None},
        {"events": [1]},
        {"events": [{"id": 1}, []]},
        {"events": [{"id": 1}, {}]},
        [],
    ],
)
def test_of_a_list_all_is_kept_or_nothing(service: PostService, body: Any) -> None:
    assert service.post("/in/lists", body, BEARER).status_code == 400
    assert service.kept("/in/lists") == []


def test_a_list_has_no_more_than_ten_thousand_records(service: PostService) -> None:
    many = [{"id": number} for number in range(10_001)]
    assert service.post("/in/lists", {"events": many}, BEARER).status_code == 413
    assert service.post("/in/lists", {"events": many[1:]}, BEARER).status_code == 200
    assert len(service.kept("/in/lists")) == 10_000


# What is refused.


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'[{"order": {"id": 1}}]', b"7", b"null", b"a=b", b'{"order": {"id": NaN}}', b"\xff",
     b'{"order": {"id": 1}, "order": {"id": 2}}', b"{}", b'{"order": {"id": null}}', b'{"order": {"id": ""}}',
     b'{"order": {"id": {"a": 1}}}', b'{"order": {"id": true}}', orjson.dumps({"order": {"id": "x" * 1001}})],
)  # fmt: skip
def test_what_is_no_object_or_has_no_id_is_told_so(service: PostService, body: bytes) -> None:
    answer = service.post("/in/orders", body, BEARER)
    assert answer.status_code == 400
    assert service.kept("/in/orders") == []
    assert len(answer.text) < 120


def test_another_path_is_nobodys(service: PostService) -> None:
    for path in ("/in/others", "/in/", "/in", "/in/orders/more", "/in/..%2Forders"):
        assert service.post(path, ORDER, BEARER).status_code == 404
    assert service.post("/in/orders/", ORDER, BEARER).status_code == 200


def test_a_post_that_is_too_large_is_refused_also_where_it_is_packed(service: PostService) -> None:
    large = orjson.dumps({"order": {"id": 1, "text": "x" * 10_000_000}})
    assert service.post("/in/orders", large, BEARER).status_code == 413
    packed = BEARER | {"Content-Encoding": "gzip"}
    assert service.post("/in/orders", gzip.compress(large), packed).status_code == 413
    whole = orjson.dumps({"order": {"id": 1, "text": "x" * 9_000_000}})
    assert service.post("/in/orders", gzip.compress(whole), packed).status_code == 200


def test_a_full_disk_is_a_503_and_the_post_is_taken_when_it_comes_again(service: PostService) -> None:
    service.failure = CaspioSyncError("No space on /secret/place")
    answer, health = service.send(("/in/orders", orjson.dumps(ORDER), BEARER), health=True)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "secret" not in answer.text
    assert (health.status_code, health.json()["posts"]) == (503, "failing")
    service.failure = None
    answer, health = service.send(("/in/orders", orjson.dumps(ORDER), BEARER), health=True)
    assert (answer.json()["message"], health.json()["posts"]) == ("kept", "ok")


def test_an_error_nobody_thought_of_is_a_503_and_shows_nothing(
    service: PostService, caplog: pytest.LogCaptureFixture
) -> None:
    service.failure = ZeroDivisionError("ada@example.com")
    assert service.post("/in/orders", ORDER, BEARER).status_code == 503
    assert "ada@" not in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"proof": "bearer", "secrets": []}, {"proof": "bearer", "secrets": ["short"]}, {"proof": "none", "secrets": [TOKEN]},
        {"proof": "basic", "secrets": [TOKEN]}, {"proof": "bearer", "secrets": [TOKEN], "user": "x"},
        {"proof": "hmac", "secrets": [TOKEN]}, {"proof": "bearer", "secrets": [TOKEN], "header": "X-Y"},
        {"proof": "hmac", "secrets": [TOKEN], "header": "X Y"}, {"proof": "standard_webhooks", "secrets": [TOKEN]},
        {"proof": "bearer", "secrets": [TOKEN], "id": "id"}, {"proof": "bearer", "secrets": [TOKEN], "id": "$.a[*]"},
        {"proof": "bearer", "secrets": [TOKEN], "id": "$.a", "id_header": "X-Id"},
        {"proof": "bearer", "secrets": [TOKEN], "more": 1}, {"proof": "bearer", "secrets": [TOKEN], "records": "$.events"},
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PostFeed.model_validate(given)

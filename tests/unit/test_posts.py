"""What is kept of posts: numbers that grow, each id once, and what goes again."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from caspio_sync.errors import CaspioSyncError
from caspio_sync.posts import Posted, Posts, Read
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
def posts(ledger_url: str, clock: VirtualClock) -> Iterator[Posts]:
    with Posts.open(ledger_url, clock=clock) as opened:
        yield opened


def post(text: str, path: str = "/in/a", number: bytes | None = None) -> Posted:
    return Posted(path, number, text.encode())


def texts(posts: Posts, where: str | None = None, path: str = "/in/a") -> list[str]:
    return [sealed.decode() for _, sealed in list(posts.each(path, where, 1000))]


def test_numbers_grow_in_the_order_of_arrival_and_go_on_in_a_new_file(
    posts: Posts, tmp_path: Path, clock: VirtualClock
) -> None:
    posts.add([post("1"), post("2")])
    posts.add([post("3")])
    numbers = [number for number, _ in list(posts.each("/in/a", None, 9))]
    assert numbers == sorted(set(numbers))
    assert texts(posts) == ["1", "2", "3"]
    clock.advance(1)
    with Posts.open(f"sqlite:///{tmp_path / 'restored.db'}", clock=clock) as restored:
        restored.add([post("4")])
        assert next(restored.each("/in/a", None, 1))[0] > numbers[-1]


def test_numbers_grow_though_the_clock_goes_back(posts: Posts, ledger_url: str, clock: VirtualClock) -> None:
    clock.advance(3600)
    posts.add([post("1")])
    with Posts.open(ledger_url, clock=VirtualClock(NOW)) as late:
        late.add([post("2")])
    assert texts(posts) == ["1", "2"]


def test_posts_are_read_and_counted_by_their_number(posts: Posts) -> None:
    posts.add([post(str(each)) for each in range(10)])
    posts.add([post("other", "/in/b")])
    numbers = [number for number, _ in list(posts.each("/in/a", None, 100))]
    assert posts.count("/in/a") == (10, numbers[0], numbers[-1])
    assert posts.count("/in/c") == (0, None, None)
    assert posts.count("/in/a", f"(PK_ID>{numbers[3]}) AND (PK_ID<={numbers[5]})") == (2, numbers[4], numbers[5])
    assert texts(posts, f"PK_ID IN ({numbers[2]},{numbers[7]},1)") == ["2", "7"]
    assert len(list(posts.each("/in/a", None, 4))) == 4


def test_an_id_is_kept_once_a_path(posts: Posts) -> None:
    assert posts.add([post("1", number=b"x"), post("2", number=b"x"), post("3", "/in/b", b"x")]) == [
        "kept", "duplicate", "kept",
    ]  # fmt: skip
    assert posts.add([post("4", number=b"x"), post("5"), post("6")]) == ["duplicate", "kept", "kept"]
    assert texts(posts) == ["1", "5", "6"]


def test_what_all_have_read_goes_after_its_days_and_nothing_else(posts: Posts, clock: VirtualClock) -> None:
    posts.add([post(str(each)) for each in range(450)])
    posts.add([post("other", "/in/b")])
    numbers = [number for number, _ in list(posts.each("/in/a", None, 1000))]
    clock.advance(timedelta(days=8).total_seconds())
    posts.add([post("new")])
    before = clock.now() - timedelta(days=7)
    read = {"/in/a": Read(numbers[399], {numbers[7], numbers[300]})}
    assert posts.purge(read, before=before, dry_run=True) == 398
    assert len(texts(posts)) == 451
    assert posts.purge(read, before=before) == 398
    assert texts(posts)[:3] == ["7", "300", "400"]
    assert posts.purge({"/in/a": Read(2**60, set())}, before=before) == 52
    assert texts(posts) == ["new"]
    assert texts(posts, path="/in/b") == ["other"]


def test_who_is_forgotten_goes_out_of_every_path(posts: Posts) -> None:
    posts.add([post(f"{each} {'ada' if each % 7 == 0 else 'bo'}") for each in range(500)])
    posts.add([post("ada", "/in/b")])
    assert posts.forget(lambda sealed: [b"ada" in each for each in sealed]) == 73
    assert not any("ada" in each for each in texts(posts) + texts(posts, path="/in/b"))
    assert len(texts(posts)) == 428


def test_who_is_forgotten_is_looked_for_in_few_large_posts_at_once(
    posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caspio_sync.posts._BYTES_AT_ONCE", 1_000)
    posts.add([post(f"{each} " + "x" * (2_000 if each % 5 == 0 else 300)) for each in range(20)])
    seen: list[list[int]] = []

    def names(sealed: Sequence[bytes]) -> list[bool]:
        seen.append([len(each) for each in sealed])
        return [each.startswith((b"0 ", b"5 ", b"19 ")) for each in sealed]

    assert posts.forget(names) == 3
    assert sum(map(len, seen)) == 20
    assert max(sum(sizes) for sizes in seen if len(sizes) > 1) <= 1_000
    assert {text.split()[0] for text in texts(posts)} == {str(each) for each in range(20)} - {"0", "5", "19"}


def test_a_post_that_cannot_be_written_is_told_and_none_of_its_group_is_kept(posts: Posts) -> None:
    with posts.writing("break") as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("PostgreSQL spells triggers otherwise")
        connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE INSERT ON inbox_posted BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(CaspioSyncError):
        posts.add([post("1"), post("2")])
    assert texts(posts) == []

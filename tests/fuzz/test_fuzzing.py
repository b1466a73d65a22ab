"""The fuzz itself: it finds what is planted, is led by branches, repeats itself by seed, and keeps what it finds."""

import asyncio
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from caspio_sync.errors import ConfigurationError, UnexpectedError
from tests.fuzz import branches, kept
from tests.fuzz.judging import BoundedClock, BrokenPromiseError, Target, judge
from tests.fuzz.loop import Fuzzer, Report, smaller

PLANTED = """
    def read(data):
        if data[:2] == b"ab":
            if data[2:4] == b"cd":
                if data[4:6] == b"ef":
                    raise ValueError("planted")
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that counts as ours, with a fault behind three branches: without their lead 20,000 inputs did not find it."""
    path = tmp_path / "planted.py"
    path.write_text(textwrap.dedent(PLANTED))
    monkeypatch.setattr(branches, "SOURCE", str(tmp_path))
    module = ModuleType("planted")
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


def fuzzed(module: ModuleType, seed: int, inputs: int) -> Report:
    def run(data: bytes) -> list[str]:
        module.read(data)
        return []

    return Fuzzer(Target("planted", run, seeds=(b"xyz",), words=(b"ab", b"cd", b"ef", b"gh", b"ij")), seed).run(
        inputs=inputs
    )


def test_branches_lead_to_what_luck_would_not_find(planted: ModuleType) -> None:
    report = fuzzed(planted, 1, 3_000)
    ((fault, data),) = report.found.values()
    assert fault.what.startswith("ValueError")
    assert data == b"abcdef"
    assert report.corpus >= 4


def test_a_seed_plays_the_same_inputs(planted: ModuleType) -> None:
    first, second = fuzzed(planted, 5, 500), fuzzed(planted, 5, 500)
    assert (first.branches, first.corpus, first.found) == (second.branches, second.corpus, second.found)
    assert first.inputs == 500
    assert "500 inputs" in first.line


def raising(error: BaseException) -> Target:
    def run(_data: bytes) -> list[str]:
        raise error

    return Target("t", run, seeds=(b"",), secrets=("a-secret-of-20-chars",))


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ConfigurationError("set BRAZE_API_KEY"), None),
        (ConfigurationError("'a-secret-of' is no key"), "a secret in a text"),
        (ConfigurationError("YS1zZWNyZXQtb2YtMjAt"), "a secret in a text"),
        (UnexpectedError.of(ValueError()), "a bug of caspio-sync"),
        (KeyError("x"), "KeyError"),
        (BrokenPromiseError("a row without verdict"), "a row without verdict"),
    ],
)
def test_what_is_a_fault(error: Exception, what: str | None) -> None:
    fault = judge(raising(error), b"")
    assert (fault is None) == (what is None)
    assert what is None or (fault is not None and fault.what.startswith(what))


def test_what_hangs_in_virtual_time_or_for_real_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait() -> None:
        await BoundedClock(10).sleep(11)

    def waits(_data: bytes) -> list[str]:
        asyncio.run(wait())
        return []

    def spins(_data: bytes) -> list[str]:
        while True:
            pass

    monkeypatch.setattr("tests.fuzz.judging.CPU_SECONDS", 0.05)
    for run in (waits, spins):
        fault = judge(Target("t", run, seeds=()), b"")
        assert fault is not None
        assert fault.what.startswith("hangs")


def test_the_smallest_input_is_kept() -> None:
    assert smaller(b"one\ntwo\nthree needle x\nfour", lambda data: b"needle" in data) == b"needle"


@pytest.mark.parametrize("data", [b"", b"a\nb\r\n\x00\xff\\n\\", "ü\u2028\x85".encode(), bytes(range(256)), b"\n\n"])
def test_an_input_is_read_back_as_it_was(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FOUND", tmp_path)
    assert kept.read(kept.written(data)) == data
    path = kept.keep("t", "ValueError in x.py read!", data)
    assert path == tmp_path / "t" / "valueerror-in-x-py-read.txt"
    assert kept.inputs("t") == [("valueerror-in-x-py-read", data)]

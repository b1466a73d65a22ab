"""What commands print: whatever a customer typed, wherever it goes."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.markup import escape

from caspio_sync.cli import show
from caspio_sync.errors import CaspioSyncError

HOSTILE = "\x1b[2J\x9b2K[/x] :warning: [bold]\x00\x07é"


class Out(io.TextIOWrapper):
    """Standard output in a code page."""

    def __init__(self, encoding: str = "utf-8", errors: str = "replace") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors=errors)

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


def standard_output(monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> Out:
    """Within a test: pytest puts its own back after a fixture."""
    made = Out(encoding)
    monkeypatch.setattr(sys, "stdout", made)
    return made


@pytest.mark.parametrize(
    "print_it",
    [
        lambda: show.OUT.print(f"key {escape(HOSTILE)}", soft_wrap=True),
        lambda: show.OUT.print(f"key {HOSTILE}", soft_wrap=True),  # where `escape` was forgotten
        lambda: show.show_table("", ("key",), [(HOSTILE,)]),
    ],
    ids=["line", "forgotten", "table"],
)
def test_control_characters_stay_out_and_brackets_stay(
    monkeypatch: pytest.MonkeyPatch, print_it: Callable[[], None]
) -> None:
    out = standard_output(monkeypatch)
    print_it()
    assert "[2J2K[/x] :warning: [bold]é" in out.text
    assert not {"\x1b", "\x9b", "\x00", "\x07"} & set(out.text)


def test_json_holds_every_character_and_no_command_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = standard_output(monkeypatch)
    show.show_json({"key": HOSTILE})
    assert json.loads(out.text) == {"key": HOSTILE}
    assert not {"\x1b", "\x9b", "\x00", "\x07"} & set(out.text)
    assert "é" in out.text


def test_json_loses_nothing_in_another_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    out = standard_output(monkeypatch, "cp1252")
    show.show_json({"city": "Łódź"})
    assert json.loads(out.text) == {"city": "Łódź"}


def test_an_export_is_utf_8_in_any_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    out = standard_output(monkeypatch, "cp1252")
    with show.written(None, for_spreadsheets=True) as file:
        file.write("Łódź")
    assert out.text == "Łódź"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+44 20", "'+44 20"),
        ("-5", "'-5"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("a=1", "a=1"),
        ("", ""),
        (-5, -5),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(cell: object, written: object) -> None:
    assert show.spreadsheet_cell(cell) == written


@pytest.mark.parametrize(("for_spreadsheets", "begin"), [(True, b"\xef\xbb\xbf"), (False, b"")])
def test_a_file_for_spreadsheets_begins_with_the_mark(tmp_path: Path, for_spreadsheets: bool, begin: bytes) -> None:
    with show.written(tmp_path / "held.csv", for_spreadsheets=for_spreadsheets) as file:
        csv.writer(file, lineterminator="\n").writerow(["Łódź"])
    assert (tmp_path / "held.csv").read_bytes() == begin + "Łódź\n".encode()


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(CaspioSyncError, match="No space left on device"):
            show.write("x" * 100_000)


@pytest.mark.parametrize(("work", "code"), [(0, 4), (3, 3)])
def test_what_a_full_disk_held_back_is_told(monkeypatch: pytest.MonkeyPatch, work: int, code: int) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        show.write("x")
        assert show.flushed(work) == code


SCRIPT = """\
import sys
from caspio_sync import startup
from caspio_sync.cli import show
startup.prepare()
sys.stdin.readline()  # until the reader has gone
for _ in range(3):
    show.OUT.print("a line")
    show.show_json(["a document"])
    show.flushed(0) if len(sys.argv) > 1 else None
print("the work is done", file=sys.stderr)
sys.exit(show.flushed(5))
"""


@pytest.mark.parametrize("when", [["at once"], []], ids=["at once", "at the end"])
def test_a_reader_that_has_gone_changes_nothing(when: list[str]) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-c", SCRIPT, *when]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        os.close(reading)
        _, err = process.communicate(b"\n", timeout=60)
    assert (process.returncode, err) == (5, b"the work is done\n")


@pytest.mark.parametrize(("arguments", "code"), [(["run", "--help"], 0), (["quarantine"], 2)])
def test_a_reader_of_the_help_that_has_gone_changes_nothing(arguments: list[str], code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "caspio_sync", *arguments]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (code, b"")

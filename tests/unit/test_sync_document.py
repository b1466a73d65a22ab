"""Files that no sync file is: refused at once, with the line, before they take minutes or gigabytes."""

import resource
import time
from pathlib import Path

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.document import MOST_LEVELS, parse_document, read_document
from caspio_sync.sync_files import MOST_BYTES, destination_in

HEAD = "kind: profiles\n"
BOMB = f"{HEAD}a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "alias bomb": (BOMB.encode(), r"holds over 200,000 values, each alias \(\*\) written out; shorten it"),
    "151 levels": (f"{HEAD}a: {'[' * 151}{']' * 151}\n".encode(), "a.yaml:2: is nested over 150 levels deep; flatten"),
    "20,000 lists": (f"{HEAD}a: {'[' * 20_000}\n".encode(), "is nested over 150 levels deep"),
    "20,000 maps": (f"{HEAD}a: {'{a: ' * 20_000}\n".encode(), "is nested over 150 levels deep"),
    "huge": (HEAD.encode() + b"#" * MOST_BYTES, "is over 2 MB, which no sync file is; correct the path"),
    "a key twice": (
        f"{HEAD}kind: catalog\n".encode(),
        r"a.yaml:2: key 'kind' stands a second time \(first in line 1\)",
    ),
    "a key twice inside": (f"{HEAD}a: {{b: 1, b: 2}}\n".encode(), "a.yaml:2: key 'b' stands a second time"),
    "alias in itself": (f"{HEAD}a: &a [*a]\n".encode(), r"a.yaml:2: an alias \(\*\) inside its own anchor"),
    "UTF-16": (HEAD.encode("utf-16"), "a.yaml: is UTF-16; save it as UTF-8"),
    "UTF-16 without mark": (HEAD.encode("utf-16-be"), r"a.yaml:1: is not YAML: it holds the sign U\+0000; remove it"),
    "UTF-32": (HEAD.encode("utf-32"), "a.yaml: is UTF-32; save it as UTF-8"),
    "cp1252": (f"{HEAD}a: Köln\n".encode("cp1252"), r"a.yaml:2: is not UTF-8 \(byte 0xf6; perhaps Windows-1252"),
    "no sign": (
        HEAD.encode() + rb'a: "\UFFFFFFFF"',
        "a.yaml: is not YAML: an escape that stands for no sign; remove it",
    ),
    "BEL": (f"{HEAD}a: \x07\n".encode(), r"a.yaml:2: is not YAML: it holds the sign U\+0007; remove it"),
    "NUL by escape": (HEAD.encode() + rb'a: "\0"', r"a.yaml:2: a text with the sign U\+0000"),
    "half an emoji": (HEAD.encode() + rb'a: {"\ud83d": 1}', "a.yaml:2: a text .* or with half of a surrogate pair"),
    "infinite": (f"{HEAD}a: 1{'0' * 400}.0\n".encode(), "a.yaml:2: 10+.0 is too large; correct it"),
    "two documents": (f"{HEAD}--- \n{HEAD}".encode(), "a.yaml:2: is not YAML"),
    "empty": (b"", "a.yaml:1: has no keys"),
    "a mark alone": (b"\xef\xbb\xbf", "a.yaml:1: has no keys"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_at_once_with_its_place(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ConfigurationError, match=said):
        read_document(path)
    assert time.process_time() - began < 20  # the bomb took 36 s and 2.4 GB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("data", [data for data, _ in REFUSED.values()], ids=REFUSED)
def test_its_destination_is_asked_for_before_it_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    assert destination_in(path) == "braze"


def test_what_people_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(f"\ufeff{HEAD}a: &yes {{b: [1, é, \N{GRINNING FACE}]}}\r\nc: *yes\r\n".encode())
    values = {"b": [1, "é", "\N{GRINNING FACE}"]}
    assert read_document(path).data == {"kind": "profiles", "a": values, "c": values}


def test_nesting_and_maps_that_people_may_need_are_read() -> None:
    deep, words = "[" * MOST_LEVELS + "]" * MOST_LEVELS, "".join(f"  word{number}: 1\n" for number in range(5_000))
    data = parse_document(f"{HEAD}a: {deep}\nmap:\n{words}", Path("a.yaml")).data
    assert (len(data["map"]), data["a"]) != (0, [])

"""Which files of the folder a run reads beside its own: those that may write the same."""

from itertools import permutations
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync import registry
from caspio_sync.engine import sharing
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import load_sync, parse_sync
from caspio_sync.settings import load_settings
from caspio_sync.sync_files import SyncFiles, shipped_examples
from caspio_sync.yaml_nodes import word_under

EXAMPLES = {name: SyncFiles(shipped_examples()).path(name) for name in SyncFiles(shipped_examples()).names}
SYNC = "kind: profiles\nsource: {table: T}\nidentity: {external_id: No}\nfields: {a: A}\n"


def test_what_is_not_read_writes_nothing_of_the_same() -> None:
    definitions = {name: load_sync(path) for name, path in EXAMPLES.items()}
    assert {each.kind for each in definitions.values()} >= {"profiles", "catalog", "engagement", "events", "purchases"}
    passed_over = 0
    for one, other in permutations(definitions, 2):
        if sharing._writes_elsewhere(EXAMPLES[other], definitions[one]):  # noqa: SLF001
            passed_over += 1
            first, second = (
                definitions[each].model_copy(update={"source": definitions[one].source}) for each in (one, other)
            )
            assert first.shared(second) == []
    assert passed_over > len(definitions)


def test_kinds_that_are_read_apart_claim_in_rooms_of_their_own() -> None:
    rooms: dict[str, set[str]] = {}
    for path in EXAMPLES.values():
        definition = load_sync(path)
        room = registry.CLAIMED_TOGETHER.get(definition.kind, definition.kind)
        rooms.setdefault(room, set()).update(claim[0] for claim in definition.claims())
        if definition.kind in registry.WRITTEN_THERE:
            assert all(definition.destination in claim for claim in definition.claims())
    assert rooms.keys() == {registry.CLAIMED_TOGETHER.get(kind, kind) for kind in registry.KINDS}
    claimed = [claim for claims in rooms.values() for claim in claims]
    assert len(claimed) == len(set(claimed)), rooms


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        (SYNC, True),
        (SYNC + "destination: activecampaign\n", False),
        ("broken: [\nkind: catalog\n", True),  # what cannot be read, may be anything
        ("kind: catalog\nbroken: [\n", False),  # of that kind it would be, mended
        ("kind: profiles\ndestination: activecampaign\nbroken: [\n", True),
        ("nothing: {kind: catalog}\nlist: [kind, catalog]\nkind: catalog\n", False),
        ("nothing: {kind: catalog}\n", True),
        ("- kind: catalog\n", True),
        ("? [kind]\n: catalog\nkind: catalog\n", True),
        ("kind: catalog\nnothing: else\n", False),
        ("kind: nonsense\n", True),
        ("kind: [profiles]\n", True),
        ("", True),
        (SYNC + "destination: nowhere\n", True),
    ],
)
def test_a_file_is_read_where_it_may_write_the_same(
    text: str, is_read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASPIO_SYNC_SYNCS", str(tmp_path))
    for name in ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET"):
        monkeypatch.setenv(name, "https://c.caspio.com")
    (tmp_path / "other.yaml").write_text(text)
    mine = parse_sync(SYNC, tmp_path / "mine.yaml")
    read: list[str] = []

    def reading(path: Path) -> Sync:
        read.append(path.stem)
        return load_sync(path)

    monkeypatch.setattr(sharing, "load_sync", reading)
    found, notes = sharing._others(load_settings(), mine)  # noqa: SLF001
    assert read == (["other"] if is_read else [])
    assert bool(notes) == (is_read and not found)


def test_a_named_file_is_read_whatever_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_SYNCS", str(tmp_path))
    for name in ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET"):
        monkeypatch.setenv(name, "https://c.caspio.com")
    (tmp_path / "other.yaml").write_text(EXAMPLES["products"].read_text())
    mine = parse_sync(SYNC + "apart_from: [other]\n", tmp_path / "mine.yaml")
    assert list(sharing._others(load_settings(), mine)[0]) == ["other"]  # noqa: SLF001


_WORDS = st.sampled_from(["kind", "other", "a b", "catalog", "x: y", "- z", "'quoted'", '"', "#", "é", "", "~", "1"])
_VALUES = st.recursive(_WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3))


@given(st.dictionaries(_WORDS, _VALUES, max_size=5), st.booleans())
def test_a_word_is_found_where_the_whole_document_has_it(data: dict[str, object], flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, sort_keys=False, allow_unicode=True)
    expected = data.get("kind") if isinstance(data.get("kind"), str) else None
    assert word_under(text, "kind") == expected

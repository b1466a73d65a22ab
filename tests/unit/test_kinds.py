"""The registry of kinds: whatever is in it is whole, and nothing outside of it asks for a kind by name."""

import ast
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from caspio_sync.engine.kind import Words, kind_named
from caspio_sync.engine.line import Line
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import CronSchedule
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.observe.report import RunReport
from caspio_sync.registry import KINDS, found

ROOT = Path(__file__).parents[2]
# Old deployments name them.
FLOWS = {
    "profiles": "flows.profile_sync.profile_sync",
    "catalog": "flows.catalog_sync.catalog_sync",
    "engagement": "flows.engagement_return.engagement_return",
    "events": "flows.event_sync.event_sync",
    "purchases": "flows.event_sync.event_sync",
    "deals": "flows.deal_sync.deal_sync",
    "triggers": "flows.event_sync.event_sync",
}
ALLOWED = {
    "src/caspio_sync/registry.py",
    "src/caspio_sync/destinations/activecampaign/destination.py",  # its sinks by kind
    "src/caspio_sync/destinations/braze/destination.py",  # likewise
    "src/caspio_sync/ledger/erasure.py",  # in SQL, of the runs that are written down
}


def named_in(node: ast.AST) -> set[str]:
    """Names of kinds among the constants of an expression."""
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and each.value in set(KINDS)}


def asks(node: ast.AST) -> bool:
    """Whether code tells kinds apart: by the class of a definition or mapping, by a comparison, or by a table."""
    match node:
        case ast.Call(func=ast.Name("isinstance"), args=[_, classes]):
            return re.search(r"\w(Sync|Mapping)\b", ast.unparse(classes)) is not None
        case ast.Compare():
            return "kind" in ast.unparse(node) and bool(named_in(node))
        case ast.Dict():
            return len({name for key in node.keys if key is not None for name in named_in(key)}) > 1
    return False


@pytest.mark.parametrize("name", KINDS)
def test_a_registered_kind_is_whole(name: str) -> None:
    kind = kind_named(name)
    report = RunReport(run="r", sync="s", kind=name, mode="sweep", started_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert kind.name == name
    assert kind.definition.model_fields["kind"].annotation.__args__ == (name,)
    assert callable(found(kind.work))
    assert isinstance(found(kind.line), Line)
    assert callable(found(kind.examine))
    assert isinstance(kind.words, Words)
    assert all([kind.words.row, kind.words.who, kind.words.look_at, kind.words.headline(report)])
    assert "{apart}" in kind.words.part_ways
    assert len(kind.words.own(report)) == 3
    assert CronSchedule(cron=kind.cron)


@pytest.mark.parametrize("name", KINDS)
def test_a_registered_kind_has_its_flow(name: str) -> None:
    kind = kind_named(name)
    assert kind.flow == FLOWS[name]
    module, _, function = kind.flow.rpartition(".")
    flow = getattr(import_module(module), function)
    assert flow.name == kind.flow_name
    file = ROOT / f"{module.replace('.', '/')}.py"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("name", KINDS)
def test_a_registered_kind_has_its_gates(name: str) -> None:
    gates = import_module(f"expectations.{name}")
    assert callable(gates.suite)
    assert callable(gates.judged_frame)


def test_a_kind_that_nobody_registered_is_refused_with_file_and_line() -> None:
    with pytest.raises(ConfigurationError, match="'ideals' is no kind of sync; there are: profiles, catalog, engage"):
        kind_named("ideals")
    with pytest.raises(ConfigurationError) as caught:
        parse_sync("# mine\nkind: ideals\nsource: {table: Orders}\n", Path("syncs/orders.yaml"))
    said = str(caught.value)
    assert "syncs/orders.yaml:2: kind: 'ideals' is no kind of sync" in said
    assert all(f"'{name}'" in said for name in KINDS)


def test_nothing_asks_for_a_kind_by_name() -> None:
    asking = {
        str(path.relative_to(ROOT))
        for folder in ("src/caspio_sync", "flows", "tasks", "expectations")
        for path in (ROOT / folder).rglob("*.py")
        if "sandbox" not in path.parts and any(map(asks, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert asking <= ALLOWED, "ask its `Kind` (engine/kind.py) or its definition (mapping/definition.py)"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("isinstance(sync, CatalogSync | EngagementSync)", True),
        ("isinstance(mapping, catalogs.CatalogMapping)", True),
        ("sync.kind == 'catalog'", True),
        ("any(each.kind not in {'catalog', 'engagement'} for each in syncs)", True),
        ("{'profiles': 1, 'catalog': 2}", True),
        ("isinstance(value, Mapping)", False),
        ("{'catalog': name, 'fields': fields}", False),
        ("kind == 'email'", False),
    ],
)
def test_what_asks_is_found(code: str, *, found: bool) -> None:
    assert any(map(asks, ast.walk(ast.parse(code)))) == found


def test_a_kind_that_no_file_names_is_not_imported() -> None:
    code = """
import sys
from pathlib import Path
from caspio_sync.cli import look, run
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.cli import bare
from caspio_sync.engine.line import line_of
line_of(parse_sync("kind: profiles\\nsource: {table: T}\\nidentity: {external_id: I}\\nfields: {a: A}\\n", Path("t.yaml")))
print(*(each for each in sys.modules if each.startswith("caspio_sync.")))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(ran.stdout.split())
    assert "caspio_sync.kinds.profiles.line" in modules
    others = [kind_named(name) for name in KINDS if name != "profiles"]
    unwanted = {address.partition(":")[0] for each in others for address in (KINDS[each.name], each.line)}
    assert not unwanted & modules

"""Dockerfile, compose file, CI workflows and the automation: no engine is at hand, so their shape is held."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from caspio_sync.clock import SystemClock
from caspio_sync.dashboard.settings import UiSettings
from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import (
    SANDBOX_VARIABLE,
    ReceiverSettings,
    account_variables,
    destination_settings,
    load_settings,
    variables,
)
from caspio_sync.sync_files import FILE_VARIABLE, SyncFiles

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
ROOT = DEPLOYMENTS.parent
TAGGED = re.compile(r"^[a-z0-9./-]+:[0-9][A-Za-z0-9._-]*$")
WORKFLOWS = sorted((DEPLOYMENTS / "ci").glob("*.yml"))


class OneOfEach(yaml.SafeLoader):
    """YAML takes the last of two equal keys in silence."""


def _mapping(loader: OneOfEach, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=deep) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


OneOfEach.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=OneOfEach)


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Every call of our own command line: its name and the options given."""
    return [
        (name, re.findall(r"(?<=\s)--[a-z-]+", rest))
        for name, rest in re.findall(r"^\s*caspio-sync ([a-z]+)((?: [^|\n>]*)?)", text, re.MULTILINE)
    ]


# Compose ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> Any:
    return read(DEPLOYMENTS / "compose.yaml")


def test_compose_holds_what_it_says(compose: Any) -> None:
    assert set(compose) - {"name", "services", "volumes", "configs"} == {"x-product", "x-settings", "x-worker"}
    services = compose["services"]
    assert set(services) == {"postgres", "server", "deploy", "worker-1", "worker-2", "receiver-role", "receiver"}
    known = {
        "build", "command", "configs", "depends_on", "environment", "healthcheck", "image", "network_mode", "ports",
        "profiles", "restart", "volumes",
    }  # fmt: skip
    for name, service in services.items():
        assert set(service) <= known, name
        assert TAGGED.match(service["image"]), name
        assert set(service.get("depends_on", {})) <= set(services)
        for condition in service.get("depends_on", {}).values():
            assert condition["condition"] in {"service_healthy", "service_completed_successfully", "service_started"}
        for waited, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "test" in services[waited]["healthcheck"], waited
        for text in service.get("environment", {}).values():
            assert isinstance(text, str), f"{name}: YAML would not keep {text!r} as text"
    for used in re.findall(r"^      - (\w+):/", (DEPLOYMENTS / "compose.yaml").read_text(), re.MULTILINE):
        assert used in compose["volumes"]


def test_compose_waits_in_no_circle(compose: Any) -> None:
    waits = {name: set(service.get("depends_on", {})) for name, service in compose["services"].items()}
    while waits:
        ready = {name for name, others in waits.items() if not others & set(waits)}
        assert ready, waits
        waits = {name: others for name, others in waits.items() if name not in ready}


def test_compose_workers_share_ledger_and_server_and_nothing_is_public(compose: Any) -> None:
    workers = [compose["services"][name] for name in ("worker-1", "worker-2")]
    for worker in workers:
        environment = worker["environment"]
        assert environment["CASPIO_SYNC_LEDGER_URL"].startswith("postgresql+psycopg://")
        assert environment["PREFECT_API_URL"] == "http://server:4200/api"
    assert len({each["environment"]["PREFECT_WORKER_WEBSERVER_PORT"] for each in workers}) == 2
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4200:4200", "127.0.0.1:8780:8780"]


OF_THE_PAGE = {"CASPIO_SYNC_UI_TOKEN"}  # which compose does not serve
OF_THE_RECEIVER = {
    "CASPIO_SYNC_RECEIVER_TOKEN",
    "CASPIO_SYNC_RECEIVER_OLD_TOKEN",
    "CASPIO_SYNC_POSTS",
    "CASPIO_SYNC_WEBHOOKS",
    "CASPIO_SYNC_ACTIVECAMPAIGN_SECRET",
    "CASPIO_SYNC_ACTIVECAMPAIGN_OLD_SECRET",
    "CASPIO_SYNC_PAYLOAD_KEYS",
    "CASPIO_SYNC_WEBHOOK_SIGNATURE_HEADER",
    "CASPIO_SYNC_WEBHOOK_SIGNATURE_ENCODING",
    "CASPIO_SYNC_WEBHOOK_SIGNATURE_PREFIX",
}


def _example_variables() -> set[str]:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", text, re.MULTILINE))


def test_the_example_names_every_variable_that_a_person_may_set() -> None:
    own = {SANDBOX_VARIABLE, FILE_VARIABLE}  # set by our own commands
    known = {*variables(), *variables(ReceiverSettings), *variables(UiSettings)} - own
    assert _example_variables() == {*known, "POSTGRES_PASSWORD", "POSTGRES_RECEIVER_PASSWORD"}


@pytest.mark.parametrize("service", ["deploy", "worker-1", "worker-2"])
def test_compose_passes_every_variable_as_it_is_and_no_sandbox_in_its_place(compose: Any, service: str) -> None:
    environment = compose["services"][service]["environment"]
    of_compose = {"CASPIO_SYNC_HOME", "CASPIO_SYNC_SYNCS", "CASPIO_SYNC_LEDGER_URL"}
    passed = {name for name in _example_variables() if not name.startswith("POSTGRES_")} - of_compose - OF_THE_RECEIVER
    passed -= OF_THE_PAGE
    passed.add("CASPIO_SYNC_PAYLOAD_KEYS")  # the runs decrypt what the receiver encrypts
    assert {name: environment.get(name) for name in passed} == {name: f"${{{name}:-}}" for name in passed}
    assert SANDBOX_VARIABLE not in environment


def test_a_variable_that_compose_passes_empty_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in variables():
        monkeypatch.setenv(name, "")
    with pytest.raises(ConfigurationError, match="CASPIO_CLIENT_ID: not set"):
        load_settings()
    for name in ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET", "BRAZE_API_KEY"):
        monkeypatch.setenv(name, "https://x")
    monkeypatch.setenv("BRAZE_INSTANCE", "EU-01")
    settings = load_settings(syncs=None)
    assert destination_settings("braze").braze_endpoint == "https://rest.fra-01.braze.eu"
    assert (settings.caspio_calls_per_second, settings.caspio_calls_per_day, settings.keep_days) == (20, None, 90)


def test_compose_gives_the_receiver_no_key_of_an_account(compose: Any) -> None:
    receiver = compose["services"]["receiver"]
    assert "POSTGRES_PASSWORD" not in str(receiver)  # that of the database's owner
    assert receiver["environment"]["CASPIO_SYNC_LEDGER_URL"].startswith("postgresql+psycopg://receiver:$")
    assert compose["services"]["receiver-role"]["profiles"] == ["currents"]
    assert receiver["profiles"] == ["currents"]  # only where it is asked for
    shared = {"CASPIO_SYNC_LEDGER_URL", "CASPIO_SYNC_PAYLOAD_KEYS"}
    assert set(receiver["environment"]) == shared | OF_THE_RECEIVER
    port = receiver["command"][receiver["command"].index("--port") + 1]
    assert receiver["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_compose_on_the_sandbox_uses_it_as_it_is_and_nothing_else(compose: Any) -> None:
    from caspio_sync.sandbox.server import BRAZE_KEY, CLIENT_ID, CLIENT_SECRET

    over = read(DEPLOYMENTS / "compose.sandbox.yaml")
    assert over["name"] != compose["name"]  # so are its volumes, with the ledger
    for name in ("deploy", "worker-1", "worker-2"):
        service = over["services"][name]
        assert service["network_mode"] == "service:sandbox"  # the emulators listen on loopback alone
        environment = service["environment"]
        assert set(environment) == {*account_variables(), SANDBOX_VARIABLE}
        assert "${" not in str(environment)
        assert [environment[each] for each in ("CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET", "BRAZE_API_KEY")] == [
            CLIENT_ID,
            CLIENT_SECRET,
            BRAZE_KEY,
        ]


# The receiver's role ---------------------------------------------------------------------------------


@pytest.fixture
def receiver_role(postgresql: str) -> Iterator[tuple[str, Callable[[str], str]]]:
    """A ledger's database, and what makes the receiver's role in it, by password: it gives the role's URL."""
    import psycopg

    database = "ledger_of_compose"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    owner = postgresql.replace("/postgres", f"/{database}")

    def make(password: str) -> str:
        with psycopg.connect(owner, options=f"-c receiver.password={password}") as connection:
            connection.execute((DEPLOYMENTS / "receiver.sql").read_bytes())
        return owner.replace("//ledger@", f"//receiver:{password}@")

    yield owner, make
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS receiver")


@pytest.mark.parametrize("first", ["receiver", "owner"])
def test_the_receivers_role_adds_to_the_inbox_and_sees_no_other_table(
    receiver_role: tuple[str, Callable[[str], str]], first: str
) -> None:
    import psycopg
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from caspio_sync import hints, inbox, posts
    from caspio_sync.engagement.events import Post
    from caspio_sync.ledger.store import Ledger

    owner, make = receiver_role
    if first == "owner":
        with Ledger.open(owner), inbox.Inbox.open(owner, clock=SystemClock()):
            pass
    url = make("0" * 32)
    post = Post(source="currents", count=1, lines=b'{"id":"1"}\n')
    with inbox.Inbox.open(url, clock=SystemClock()) as receiving:
        receiving.add([post])
        assert receiving.waiting(0).posts == 1
    told = hints.Message("customers", "m-1", (hints.Hint(7, "update", None),), "kept")
    with hints.Hints.open(url) as taking:
        assert taking.add([told, told]) == ["kept", "duplicate"]
        with pytest.raises(ConfigurationError, match="lacks a right"):
            taking.mark_read([1])
    with posts.Posts.open(url) as taking_posts:
        kept = posts.Posted("/in/orders", b"id", b"sealed")
        assert taking_posts.add([kept, kept]) == ["kept", "duplicate"]
        assert [sealed for _, sealed in list(taking_posts.each("/in/orders", "PK_ID>7", 5))] == [b"sealed"]
        with pytest.raises(ConfigurationError, match="lacks a right"):
            taking_posts.forget(lambda sealed: [True for _ in sealed])
    with Ledger.open(owner), inbox.Inbox.open(owner, clock=SystemClock()) as folding:
        assert [each.lines for part in folding.posts(0) for each in part] == [post.lines]
        with folding.reading("compare") as connection:
            both = [inbox.metadata, hints.metadata, posts.metadata]
            ours = {"include_name": lambda name, kind, _: kind != "table" or str(name).startswith("inbox_")}
            assert compare_metadata(MigrationContext.configure(connection, opts=ours), both) == []  # type: ignore[arg-type]  # alembic takes several
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        allowed = {
            (table, right)
            for (table,) in tables
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
            if connection.execute("SELECT has_table_privilege(%s, %s)", (table, right)).fetchone() == (True,)
        }
        added = ("inbox_post", "inbox_malformed", "inbox_hint", "inbox_payload", "inbox_posted")
        assert allowed == {
            *((table, right) for table in (*added, "inbox_heard") for right in ("SELECT", "INSERT")),
            ("inbox_heard", "UPDATE"),
        }
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE own (id INTEGER)")
    assert make("1" * 32) != url  # given again, with another password


@pytest.mark.parametrize("password", ["", "short", "with'quote-and-more-signs"])
def test_a_password_that_is_missing_or_weak_makes_no_role(
    receiver_role: tuple[str, Callable[[str], str]], password: str
) -> None:
    import psycopg

    with pytest.raises(psycopg.errors.RaiseException, match="openssl rand -hex 24"):
        receiver_role[1](password)


# Dockerfile ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    text = (DEPLOYMENTS / "Dockerfile").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_special(dockerfile: list[tuple[str, str]]) -> None:
    words = [word for word, _ in dockerfile]
    assert set(words) <= {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "HEALTHCHECK", "CMD"}
    froms = [rest.split()[0] for word, rest in dockerfile if word == "FROM"]
    assert len(froms) == 2
    assert all(re.match(r"^python:3\.1[123][\w.]*-slim-\w+$", each) for each in froms)
    last = dockerfile[len(words) - 1 - words[::-1].index("FROM") :]
    assert [rest for word, rest in last if word == "USER"] == ["caspio"]
    assert words.index("USER") < words.index("CMD")
    assert "HEALTHCHECK" in [word for word, _ in last]
    # The last stage has the environment alone: no source, no compiler, no pip cache.
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/caspio-sync /opt/caspio-sync"]


def test_the_image_copies_what_the_wheel_is_built_from(dockerfile: list[tuple[str, str]]) -> None:
    import tomllib

    copied = {
        name for word, rest in dockerfile if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    assert {place.split("/")[0] for place in packages.values()} <= copied
    allowed = (DEPLOYMENTS / "Dockerfile.dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    assert {f"!{name}" for name in copied} <= set(allowed)


# Workflows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_workflows(path: Path) -> None:
    workflow = read(path)
    # "on" is a truth value in YAML 1.1.
    assert set(workflow) <= {"name", True, "permissions", "concurrency", "jobs"}
    assert set(workflow[True]) <= {"pull_request", "workflow_dispatch"}
    assert workflow["permissions"]["contents"] == "read"
    for job in workflow["jobs"].values():
        assert set(job) <= {"runs-on", "timeout-minutes", "env", "steps"}
        assert re.match(r"^ubuntu-\d\d\.\d\d$", job["runs-on"])
        for step in job["steps"]:
            assert set(step) <= {"name", "uses", "with", "run", "env", "if"}
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.match(r"^actions/[a-z-]+@v\d+$", step["uses"])
            else:
                # What a person typed is data: it reaches the shell as a variable, never as text of the script.
                assert "${{" not in step["run"]


def test_the_workflows_call_the_command_line_as_it_is() -> None:
    from caspio_sync.cli.main import app

    called = [each for path in WORKFLOWS for each in commands(path.read_text(encoding="utf-8"))]
    assert {name for name, _ in called} == {"check", "plan", "backfill"}
    for name, options in called:
        if name == "backfill":  # another page of the command line
            continue
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.output)
        assert all(option in plain for option in options), (name, options)


# Secrets and the automation --------------------------------------------------------------------------


def test_no_file_holds_a_secret() -> None:
    from caspio_sync.sandbox.server import BRAZE_KEY, CLIENT_SECRET

    named = re.compile(
        r"(?i)^\s*-?\s*[\w]*(password|secret|api_key|token|auth_string)[\w]*\s*[:=]\s*(\S.*)$", re.MULTILINE
    )
    files = [path for path in DEPLOYMENTS.rglob("*") if path.is_file()]
    assert len(files) >= 7
    for path in files:
        for _, value in named.findall(path.read_text(encoding="utf-8")):
            left = re.sub(r"\$\{\{ (secrets\.\w+|github\.token) \}\}|\$\{\w+:\?[^}]*\}", "", value)
            left = re.sub(rf"\$\{{\w+:-\}}|^({CLIENT_SECRET}|{BRAZE_KEY})$", "", left)  # known to everybody
            assert not left.strip(), f"{path.name}: {value}"


def test_the_automation_is_one_that_prefect_takes() -> None:
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    from caspio_sync.deployed.deployments import TAG

    (found,) = read(DEPLOYMENTS / "automations" / "freshness.yaml")["automations"]
    automation = AutomationCore.model_validate(found)
    assert isinstance(automation.trigger, EventTrigger)
    assert automation.trigger.posture == Posture.Proactive
    assert automation.trigger.within.total_seconds() == 900
    assert f"prefect.tag.{TAG}" in str(automation.trigger.match_related)
    assert [each.type for each in automation.actions] == ["send-notification"]


# A clone -------------------------------------------------------------------------------------------


def test_a_clone_ships_no_sync_file_where_a_users_own_stand() -> None:
    """So `caspio-sync init customers` works in it, and nothing of ours is deployed."""
    assert SyncFiles(ROOT / "syncs").names == []
    names = [
        "books",
        "confirmations",
        "contacts",
        "customers",
        "deals",
        "engagement",
        "orders",
        "placed_orders",
        "products",
        "tickets",
    ]
    assert SyncFiles(ROOT / "examples").names == names

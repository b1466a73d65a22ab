"""The list of deployments: computed from the sync files, shown in deployments/prefect.yaml, held against the budget."""

import importlib
from pathlib import Path

import pytest
import yaml

from caspio_sync.deployed.deployments import TAG, Deployment, deployments_of, prefect_file
from caspio_sync.engine.schedules import DailyCalls, calls_a_run, daily_calls, most_runs_a_day, over_budget
from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import Settings, account_variables, load_settings, named_accounts

ROOT = Path(__file__).parents[2]
PROFILES = """\
kind: profiles
source: {table: Customers, cursor: ChangedAt}
identity: {external_id: CustomerNo}
fields: {first_name: FirstName}
"""
CATALOG = """\
kind: catalog
source: {table: Products, cursor: ChangedAt}
catalog: {name: products}
item_id: Code
fields: {name: Name}
"""


def profiles(name: str) -> str:
    """A sync that writes what no other one does."""
    return PROFILES.replace("first_name", f"first_name_of_{name}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "syncs").mkdir()
    for name in ("CASPIO_INTEGRATION_URL", "BRAZE_REST_ENDPOINT"):
        monkeypatch.setenv(name, "https://sandbox.test")
    for name in ("CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET", "BRAZE_API_KEY"):
        monkeypatch.setenv(name, "sandbox")
    monkeypatch.setenv("CASPIO_SYNC_SYNCS", "syncs")
    return load_settings()


def deployed(settings: Settings, **files: str) -> dict[str, Deployment]:
    for name, text in files.items():
        settings.sync_file(name).write_text(text, encoding="utf-8")
    return {each.name: each for each in deployments_of(settings).made}


def crons(made: dict[str, Deployment]) -> dict[str, str]:
    return {name: each.schedule.cron for name, each in made.items()}


def test_the_shipped_file_is_the_list_of_the_shipped_syncs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of syncs/: `caspio-sync deploy --write deployments/prefect.yaml`."""
    monkeypatch.setenv("CASPIO_SYNC_SYNCS", str(ROOT / "examples"))
    made = deployments_of(load_settings()).made
    assert [each.name for each in made] == [
        "books",
        "contacts",
        "contacts-nightly",
        "customers",
        "customers-nightly",
        "deals",
        "deals-nightly",
        "engagement",
        "orders",
        "orders-nightly",
        "products",
        "products-nightly",
        "tickets",
        "tickets-nightly",
        "housekeeping",
    ]
    assert prefect_file(made) == (ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8")


def test_the_file_is_one_that_prefect_deploys(settings: Settings) -> None:
    """Prefect's own models take its schedules; its entry points are flows that take its parameters."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    document = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))
    assert document["pull"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $CASPIO_SYNC_FOLDER }}"}}
    ]
    for each in document["deployments"]:
        module, _, name = each["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        model = flow.fn.__annotations__["parameters"]
        made_of = model.model_validate(each["parameters"]["parameters"])
        assert each["name"] == "housekeeping" or each["name"] in {made_of.sync, f"{made_of.sync}-nightly"}
        for schedule in each["schedules"]:
            cron = {"cron": schedule["cron"], "timezone": schedule["timezone"]}
            made = DeploymentScheduleCreate(schedule=cron, slug=schedule["slug"], active=schedule["active"])
            assert getattr(made.schedule, "cron", None) == schedule["cron"]
        # What stands between a dead run and its successor is the lease alone.
        assert not {"concurrency_limit", "concurrency_options"} & set(each)


@pytest.mark.parametrize(
    ("text", "regular", "sweeps"),
    [
        (PROFILES, "* * * * *", True),
        (CATALOG, "*/15 * * * *", True),
        (PROFILES.replace(", cursor: ChangedAt", ""), "0 * * * *", False),
        (CATALOG.replace(", cursor: ChangedAt", ""), "0 * * * *", False),
        (PROFILES + 'schedule: "7 6 * * 1"\n', "7 6 * * 1", True),
    ],
)
def test_schedules_by_kind_and_cursor(settings: Settings, text: str, regular: str, sweeps: bool) -> None:
    found = crons(deployed(settings, a=text))
    assert found["a"] == regular
    assert ("a-nightly" in found) == sweeps
    assert most_runs_a_day(found.get("a-nightly", "0 0 * * *")) == 1
    assert most_runs_a_day(found["housekeeping"]) == 1


def test_a_nightly_sweep_reads_everything_and_waits_for_the_run_it_meets(settings: Settings) -> None:
    made = deployed(settings, a=PROFILES)
    assert made["a"].parameters == {"parameters": {"sync": "a"}}
    assert made["a-nightly"].parameters == {"parameters": {"sync": "a", "full": True, "wait": True}}


@pytest.mark.parametrize("taken", ["a-nightly", "housekeeping"])
def test_a_sync_that_bears_another_deployments_name_is_refused(settings: Settings, taken: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{taken}.yaml: '{taken}' is another deployment's name"):
        deployed(settings, a=PROFILES, **{taken: PROFILES})


def test_nights_do_not_begin_together_and_stay_where_they_are(settings: Settings) -> None:
    names = [f"sync{number}" for number in range(20)]
    together = deployed(settings, **{name: profiles(name) for name in names})
    nights = crons(together)
    assert len({cron for name, cron in nights.items() if name.endswith("-nightly")}) > 10
    settings.sync_file("sync3").unlink()
    assert crons(deployed(settings)).items() <= nights.items()


def test_tags_tell_ours_and_the_kind(settings: Settings) -> None:
    made = deployed(settings, a=PROFILES, b=CATALOG)
    assert [made["a"].tags, made["b"].tags] == [(TAG, "profiles"), (TAG, "catalog")]
    assert "products" in made["b"].description


def test_a_broken_sync_file_deploys_nothing(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"b\.yaml"):
        deployed(settings, a=PROFILES, b="kind: profiles\n")


@pytest.mark.parametrize("line", ["61 * * * *", "* * * * mon-xyz", "*/0 * * * *"])
def test_a_cron_line_that_never_fires_is_refused_with_its_place(settings: Settings, line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"a\.yaml:5.*no cron line"):
        deployed(settings, a=f'{PROFILES}schedule: "{line}"\n')


def test_what_schedules_cost(settings: Settings) -> None:
    from caspio_sync.mapping.sync_file import load_sync

    deployed(settings, a=PROFILES, b=profiles("b").replace(", cursor: ChangedAt", ""))
    changes = daily_calls("a", load_sync(settings.sync_file("a")), 30_001)
    whole = daily_calls("b", load_sync(settings.sync_file("b")), 30_001)
    assert [(each.runs, each.calls_a_run) for each in changes] == [(1440, 4), (1, 34)]
    assert [(each.runs, each.calls_a_run) for each in whole] == [(24, 34)]
    assert (calls_a_run(None), calls_a_run(0), calls_a_run(1000)) == (4, 3, 4)
    assert (calls_a_run(None, 3), calls_a_run(30_001, 3)) == (6, 96)


def test_syncs_share_one_budget() -> None:
    asked = [DailyCalls("a", "*/5 * * * *", 288, 4), DailyCalls("b", "0 * * * *", 24, 34)]
    assert over_budget(asked, 1152 + 816) is None
    refused = str(over_budget(asked, 1967))
    assert "1,968 > 1,967 a day" in refused
    assert "a '*/5 * * * *': 288 runs a day x 4 calls = 1,152" in refused
    assert "b '0 * * * *': 24 runs a day x 34 calls = 816" in refused
    assert over_budget(asked[:1], 1152) is None
    assert "288 runs a day x 4 calls = 1,152 > 1,151" in str(over_budget(asked[:1], 1151))


def test_a_sync_that_is_not_enabled_is_left_out_and_told(settings: Settings) -> None:
    deployed(settings, a=PROFILES, b=CATALOG.replace("\n", "\nenabled: false\n", 1))
    found = deployments_of(settings)
    assert [each.name for each in found.made] == ["a", "a-nightly", "housekeeping"]
    assert found.left == {"b": "enabled: false (syncs/b.yaml:2)"}


def test_two_syncs_that_write_one_thing_are_not_deployed(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"syncs/a\.yaml:1: a and b \(syncs/b\.yaml:1\) both write first_name"):
        deployed(settings, a=PROFILES, b=PROFILES)


def test_one_of_them_that_is_not_enabled_does_not_count(settings: Settings) -> None:
    assert set(deployed(settings, a=PROFILES, b=f"enabled: false\n{PROFILES}")) == {"a", "a-nightly", "housekeeping"}


@pytest.mark.parametrize("proposal", ["profiles", "catalog", "engagement"])
def test_what_init_proposes_is_not_deployed(settings: Settings, proposal: str) -> None:
    from caspio_sync.caspio.client import Source
    from caspio_sync.cli.init import propose
    from caspio_sync.schemas import CaspioField

    fields = [CaspioField("CustomerNo", "STRING", unique=True), CaspioField("LastOpened", "DATE/TIME")]
    fields += [CaspioField("FirstName", "STRING")]
    text = propose("mine", Source("Customers"), fields, proposal)
    assert set(deployed(settings, mine=text)) == {"housekeeping"}


def test_the_examples_are_never_deployed_to_an_account_of_ones_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caspio_sync.cli.deploy import registered

    monkeypatch.setenv("CASPIO_SYNC_SYNCS", str(ROOT / "examples"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    own = load_settings()
    with pytest.raises(ConfigurationError, match="shipped examples, which are for the sandbox alone"):
        registered(own, deployments_of(own), pool="p", prune=False)


def test_the_sandbox_lends_the_examples_to_an_empty_folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deployments_of(settings).made == ()
    for name in ("CASPIO_INTEGRATION_URL", "BRAZE_REST_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:8090")
    monkeypatch.setenv("CASPIO_SYNC_SANDBOX", "1")
    assert {each.name for each in deployments_of(load_settings()).made} >= {"customers", "products", "engagement"}
    Path("syncs/mine.yaml").write_text(PROFILES)
    assert {each.name for each in deployments_of(load_settings()).made} == {"mine", "mine-nightly", "housekeeping"}


def test_the_sandbox_is_on_this_machine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_SANDBOX", "1")
    with pytest.raises(ConfigurationError, match="both accounts are the sandbox's, which are on this machine"):
        load_settings()


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize("name", [*account_variables(), "braze_api_key"])
def test_one_account_that_is_named_means_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in account_variables():
        monkeypatch.delenv(each, raising=False)
    (tmp_path / ".env").write_text("CASPIO_CLIENT_ID=\nBRAZE_API_KEY=\n")
    assert named_accounts() == []
    if place == "file":
        (tmp_path / ".env").write_text(f"{name}=x\n")
    else:
        monkeypatch.setenv(name, "x")
    assert named_accounts() == [name.upper()]


@pytest.mark.parametrize(
    ("line", "zone"),
    [
        ('schedule: "0 6 * * *"', "UTC"),
        ('schedule: {cron: "0 6 * * *"}', "UTC"),
        ('schedule: {cron: "0 6 * * *", time_zone: Europe/Berlin}', "Europe/Berlin"),
    ],
)
def test_a_schedule_is_meant_in_its_zone_and_so_is_the_night(settings: Settings, line: str, zone: str) -> None:
    made = deployed(settings, a=f"{PROFILES}{line}\n")
    assert [(made[name].schedule.cron.split()[1], made[name].schedule.time_zone) for name in ("a", "a-nightly")] == [
        ("6", zone),
        ("2", zone),
    ]
    document = yaml.safe_load(prefect_file(list(made.values())))
    assert [each["schedules"][0]["timezone"] for each in document["deployments"]] == [zone, zone, "UTC"]


@pytest.mark.parametrize("zone", ["Berlin", "CEST", "GMT Standard Time", "''"])
def test_a_zone_that_nobody_knows_is_refused_with_its_place(settings: Settings, zone: str) -> None:
    with pytest.raises(ConfigurationError, match=r"a\.yaml:5: schedule\.time_zone: .*IANA time zone"):
        deployed(settings, a=f'{PROFILES}schedule: {{cron: "0 6 * * *", time_zone: {zone}}}\n')


def test_a_sync_with_a_feed_has_a_resident_and_no_view_has_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = '{"secrets": ["d2c1f7a09b3e4c5d"]}'
    monkeypatch.setenv("CASPIO_SYNC_WEBHOOKS", f'{{"customers": {feed}, "seen": {feed}, "gone": {feed}}}')
    view = profiles("seen").replace("table: Customers, cursor: ChangedAt", "view: Customers, page_by: No")
    made = deployed(settings, customers=PROFILES, products=CATALOG, seen=view)
    assert [name for name in made if name.endswith("-hints")] == ["customers-hints"]
    resident = made["customers-hints"]
    assert (resident.entrypoint, resident.schedule.cron) == ("flows.webhook_hints.webhook_hints", "*/5 * * * *")
    assert resident.parameters == {"parameters": {"sync": "customers"}}
    assert "d2c1f7a09b3e4c5d" not in prefect_file(list(made.values()))

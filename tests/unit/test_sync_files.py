"""Which file a name means, and which name a path means: one rule, wherever a sync is named."""

from pathlib import Path

import pytest

from caspio_sync.cli.sync_name import sync_named
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.settings import load_settings
from caspio_sync.sync_files import FILE_VARIABLE, SyncFiles
from flows.backfill import BackfillParameters
from flows.catalog_sync import CatalogSyncParameters
from flows.engagement_return import EngagementReturnParameters
from flows.profile_sync import ProfileSyncParameters
from tests.flows.world import ENVIRONMENT

TEXT = "kind: profiles\nsource: {table: T}\nidentity: {external_id: Id}\nfields: {a: A}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with syncs/customers.yaml and syncs/shops.yml, in which commands are given."""
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    (tmp_path / "syncs").mkdir()
    (tmp_path / "syncs" / "customers.yaml").write_text(TEXT)
    (tmp_path / "syncs" / "shops.yml").write_text(TEXT)
    return tmp_path


MEANT = [
    ("customers", "customers"),
    ("syncs/customers.yaml", "customers"),
    ("./syncs/customers.yaml", "customers"),
    ("syncs/../syncs/customers.yaml", "customers"),
    ("customers.yaml", "customers"),
    ("shops", "shops"),
    ("syncs/shops.yml", "shops"),
]


@pytest.mark.parametrize(("given", "name"), MEANT)
def test_a_sync_is_called_as_its_file_however_it_is_given(folder: Path, given: str, name: str) -> None:
    assert sync_named(given) == name


@pytest.mark.parametrize(
    "model", [ProfileSyncParameters, CatalogSyncParameters, EngagementReturnParameters, BackfillParameters]
)
@pytest.mark.parametrize(("given", "name"), MEANT)
def test_a_flow_takes_the_same_names(folder: Path, model: type, given: str, name: str) -> None:
    assert model(sync=given).sync == name


def test_an_absolute_path_means_the_same(folder: Path) -> None:
    assert SyncFiles(Path("syncs")).named(str(folder / "syncs" / "customers.yaml")) == "customers"


def test_a_link_to_the_folder_means_the_same(folder: Path) -> None:
    (folder / "elsewhere").symlink_to(folder / "syncs")
    assert SyncFiles(Path("syncs")).named("elsewhere/customers.yaml") == "customers"


@pytest.mark.parametrize("given", ["kunden.de", "my customers", "künden", "", "a/b", "../x", "a\nb", "x.yaml.bak"])
def test_what_prefect_would_refuse_later_is_refused_now(folder: Path, given: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name for a sync: letters from A to Z"):
        sync_named(given)


@pytest.mark.parametrize("file", ["kunden.de.yaml", "my customers.yml", "künden.yaml"])
def test_a_file_of_such_a_name_is_refused_as_it_is_read(file: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"syncs/{file}: .* rename the file"):
        parse_sync(TEXT, Path("syncs") / file)


def test_a_path_to_no_file_is_refused_with_what_there_is(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"syncs/x\.yaml: there is no such sync file; there are: customers, s"):
        SyncFiles(Path("syncs")).named("syncs/x.yaml")


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / "syncs" / "customers.yml").write_text(TEXT)
    with pytest.raises(ConfigurationError, match=r"customers\.yaml and syncs/customers\.yml are one sync"):
        load_settings().sync_file("customers")
    assert load_settings().sync_file("shops") == Path("syncs/shops.yml")


def test_a_name_in_another_case_is_no_second_sync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = SyncFiles(Path("syncs"))
    assert files.path("Customers") == Path("syncs/Customers.yaml")
    monkeypatch.setattr(Path, "exists", lambda _: True)  # as a file system says that knows no case
    with pytest.raises(
        ConfigurationError, match=r"Customers\.yaml: its name is spelled otherwise; there are: customers"
    ):
        files.path("Customers")


def test_what_editors_leave_is_no_sync(folder: Path) -> None:
    for name in (".#customers.yaml", "._customers.yaml", "customers.yaml~", "sync.schema.json"):
        (folder / "syncs" / name).write_text("x")
    (folder / "syncs" / "old.yaml").mkdir()
    assert SyncFiles(Path("syncs")).names == ["customers", "shops"]


def test_a_file_elsewhere_is_none_of_the_folder_and_no_flow_takes_it(folder: Path) -> None:
    (folder / "draft.yaml").write_text(TEXT)
    assert SyncFiles(Path("syncs")).named("draft.yaml") is None
    with pytest.raises(ValueError, match="outside of the folder of sync files"):
        ProfileSyncParameters(sync="draft.yaml")


def test_one_more_file_takes_part_under_its_name(folder: Path) -> None:
    (folder / "draft.yaml").write_text(TEXT)
    files = SyncFiles(Path("syncs"), folder / "draft.yaml")
    assert files.names == ["customers", "draft", "shops"]
    assert files.path("draft") == folder / "draft.yaml"

"""A destination in a sync file: named, taken for the usual one where it is not, and with a section of its own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from caspio_sync import registry
from caspio_sync.destinations.braze.destination import BRAZE
from caspio_sync.destinations.braze.profiles import ProfileSink
from caspio_sync.engine.destination import destination_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.field import AsTuple, Strict
from caspio_sync.mapping.sync_file import parse_sync, sync_json_schema
from caspio_sync.settings import current_settings, load_settings
from caspio_sync.sync_files import destination_in

SYNC = "kind: profiles\nsource: {table: T}\nidentity: {external_id: No}\nfields: {a: A}\n"
CATALOG = "kind: catalog\nsource: {table: T}\ncatalog: {name: c}\nitem_id: No\nfields: {a: A}\n"


class Lists(Strict):
    """What the contacts of a sync are put on."""

    list_id: int = Field(ge=1)
    tags: Annotated[tuple[str, ...], AsTuple] = ()


class Contacts(ProfileSink):
    options: ClassVar = Lists


MAILER = replace(BRAZE, name="mailer", title="Mailer", sinks=MappingProxyType({"profiles": Contacts}))


@pytest.fixture
def mailer(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Mapping[str, str] = {**registry.DESTINATIONS, "mailer": f"{__name__}:MAILER"}
    monkeypatch.setattr(registry, "DESTINATIONS", known)


def refused(text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        parse_sync(text, Path("syncs/people.yaml"))
    return str(error.value)


def test_a_file_that_names_no_destination_goes_to_the_usual_one() -> None:
    sync = parse_sync(SYNC, Path("people.yaml"))
    assert (sync.destination, destination_of(sync)) == ("braze", BRAZE)
    assert parse_sync(SYNC + "destination: braze\n", Path("people.yaml")).destination == "braze"


def test_an_unknown_destination_is_a_finding_that_names_those_there_are() -> None:
    said = refused(SYNC + "destination: brase\n")
    assert "syncs/people.yaml:5: destination: 'brase' is no destination; there are: braze" in said


@pytest.mark.usefixtures("mailer")
def test_a_kind_that_a_destination_does_not_take_is_a_finding() -> None:
    said = refused(CATALOG + "destination: mailer\n")
    assert "syncs/people.yaml:6: destination: 'mailer' takes no sync of kind 'catalog'; it takes: profiles" in said


@pytest.mark.usefixtures("mailer")
def test_a_sink_brings_its_own_section() -> None:
    sync = parse_sync(SYNC + "destination: mailer\noptions: {list_id: 4, tags: [a, b]}\n", Path("people.yaml"))
    assert vars(sync)["options"] == Lists(list_id=4, tags=("a", "b"))
    assert "syncs/people.yaml:6: options.list_id" in refused(SYNC + "destination: mailer\noptions: {list_id: 0}\n")
    assert "syncs/people.yaml:7: options.tag" in refused(
        SYNC + "destination: mailer\noptions:\n  tag: a\n  list_id: 1\n"
    )
    assert "options" in refused(SYNC + "destination: mailer\n")
    assert "syncs/people.yaml:5: options" in refused(SYNC + "options: {list_id: 4}\n")  # Braze's profiles have none


@pytest.mark.usefixtures("mailer")
def test_two_syncs_to_two_destinations_share_nothing() -> None:
    here = parse_sync(SYNC, Path("here.yaml"))
    there = parse_sync(SYNC + "destination: mailer\noptions: {list_id: 4}\n", Path("there.yaml"))
    assert (here.shared(there), here.shared(here)) == ([], ["a"])


@pytest.mark.usefixtures("mailer")
def test_the_schema_knows_every_destination_and_its_section() -> None:
    schema = sync_json_schema()["$defs"]
    assert schema["ProfileSync"]["properties"]["destination"]["enum"] == ["braze", "activecampaign", "http", "mailer"]
    assert "list_id" in schema["Lists"]["properties"]
    assert "options" not in schema["CatalogSync"]["properties"]


def test_a_destination_that_no_sync_names_is_asked_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("BRAZE_API_KEY", "BRAZE_INSTANCE", "BRAZE_REST_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET"):
        monkeypatch.setenv(name, "https://c0abc123.caspio.com")
    assert current_settings().caspio_client_id
    (tmp_path / "syncs").mkdir()
    (tmp_path / "syncs" / "people.yaml").write_text(SYNC)
    (tmp_path / "syncs" / "others.yaml").write_text(SYNC + "destination: nowhere\n")
    assert load_settings(syncs=["others"]).caspio_client_id  # of which its own findings tell
    for syncs in (["people"], ["not there"], None):
        with pytest.raises(ConfigurationError, match="BRAZE_API_KEY: not set"):
            load_settings(syncs=syncs)


@pytest.mark.parametrize(
    "line",
    ["empty: [2024-02-30]", "empty: [0x_]", "? [a]\n: b", "\t", "a: *b"],
    ids=["no date", "no number", "no word", "tab", "no anchor"],
)
def test_whatever_else_a_file_says_its_destination_is_read(tmp_path: Path, line: str) -> None:
    """Of what cannot be read its findings tell, and not a bug report before any setting is read."""
    file = tmp_path / "people.yaml"
    file.write_text(f"{line}\n{SYNC}")
    assert destination_in(file) == "braze"


def test_the_destination_of_a_file_is_read_as_the_file_is(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(f"{SYNC}empty: [2024-02-30]\ndestination: mailer\n", encoding="utf-8-sig")
    assert destination_in(file) == "mailer"

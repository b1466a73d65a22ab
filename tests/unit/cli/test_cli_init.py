from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import load_sync
from tests.unit.cli.conftest import Shop


def test_the_written_file_is_a_sync_that_loads(shop: Shop) -> None:
    result = shop.run("init", "customers", "--table", "Customers")
    assert result.exit_code == 0, result.output
    written: Any = load_sync(shop.folder / "syncs" / "customers.yaml")
    assert written.identity.external_id == "CustomerNo"
    assert written.source.cursor == "ChangedAt"
    assert {"first_name", "email", "spend"} <= written.fields.keys()


def test_the_written_file_passes_the_check(shop: Shop) -> None:
    shop.run("init", "customers", "--table", "Customers")
    result = shop.run("check", "customers")
    assert result.exit_code == 0, result.output


def test_it_says_what_was_guessed_and_what_comes_next(shop: Shop) -> None:
    output = shop.run("init", "customers", "--table", "Customers").output
    assert "first_name" in output
    assert "not mapped, look at the comments in the file: CreatedAt" in output
    assert "caspio-sync check customers" in output


def test_a_file_that_is_there_is_kept(shop: Shop) -> None:
    path = shop.write_sync("mine: true\n")
    result = shop.run("init", "customers", "--table", "Customers")
    assert isinstance(result.exception, ConfigurationError)
    assert "--force" in str(result.exception)
    assert path.read_text() == "mine: true\n"


def test_force_writes_over_it(shop: Shop) -> None:
    path = shop.write_sync("mine: true\n")
    assert shop.run("init", "customers", "--table", "Customers", "--force").exit_code == 0
    assert load_sync(path).source.table == "Customers"


def test_an_unknown_table_is_refused_with_the_nearest_name(shop: Shop) -> None:
    result = shop.run("init", "customers", "--table", "Custmers")
    assert isinstance(result.exception, ConfigurationError)
    assert "did you mean Customers?" in str(result.exception)
    assert not (shop.folder / "syncs").exists()


def test_a_view_is_paged_by_a_unique_whole_number(shop: Shop) -> None:
    shop.caspio.create_view("Buyers", "Customers", ["CustomerNo", "FirstName", "Email", "Number"])
    result = shop.run("init", "buyers", "--view", "Buyers")
    assert result.exit_code == 0, result.output
    source = load_sync(shop.folder / "syncs" / "buyers.yaml").source
    assert (source.view, source.table, source.page_by) == ("Buyers", None, "Number")


def test_a_view_without_such_a_number_is_refused(shop: Shop) -> None:
    shop.caspio.create_view("Names", "Customers", ["CustomerNo", "FirstName"])
    result = shop.run("init", "names", "--view", "Names")
    assert isinstance(result.exception, ConfigurationError)
    assert "Autonumber" in str(result.exception)


def test_table_and_view_together_are_a_usage_error(shop: Shop) -> None:
    result = shop.run("init", "customers", "--table", "Customers", "--view", "Buyers")
    assert result.exit_code == 2
    assert "name one of --table, --view and --posts" in result.output


def test_a_name_that_leaves_the_folder_is_refused(shop: Shop) -> None:
    result = shop.run("init", "a b", "--table", "Customers")
    assert isinstance(result.exception, ConfigurationError)
    assert "no name for a sync" in str(result.exception)


@pytest.fixture
def people(shop: Shop) -> Shop:
    """A table with columns for what Braze tells."""
    columns = {"CustomerNo": "STRING", "Email": "STRING", "EmailConsent": "YES/NO", "LastOpened": "DATE/TIME"}
    shop.caspio.create_table("People", [{"Name": name, "Type": type_} for name, type_ in columns.items()])
    return shop


def test_what_comes_back_from_braze_is_proposed_and_passes_the_check(people: Shop) -> None:
    result = people.run("init", "back", "--table", "People", "--kind", "engagement")
    assert result.exit_code == 0, result.output
    written: Any = load_sync(people.folder / "syncs" / "back.yaml")
    assert written.columns == ("EmailConsent", "LastOpened")
    result = people.run("check", "back")
    assert result.exit_code == 0, result.output


def test_it_says_which_column_takes_what_from_braze(people: Shop) -> None:
    output = people.run("init", "back", "--table", "People", "--kind", "engagement").output
    lines = [line.strip().split(maxsplit=2) for line in output.splitlines()]
    assert ["CustomerNo", "STRING", "external_id (finds the row)"] in lines
    assert ["Email", "STRING", "email (finds the row)"] in lines
    assert ["EmailConsent", "YES/NO", "email_subscribe"] in lines
    assert ["LastOpened", "DATE/TIME", "email_last_open_at as date"] in lines
    assert "writes over what these columns hold" in output
    assert "no cursor" not in output


def test_a_view_takes_nothing_back(people: Shop) -> None:
    people.caspio.create_view("Some", "People", ["CustomerNo", "LastOpened"])
    result = people.run("init", "back", "--view", "Some", "--kind", "engagement")
    assert result.exit_code == 2
    assert "name the table below it with --table" in result.output


def test_a_table_without_a_column_for_it_is_refused_and_nothing_is_written(shop: Shop) -> None:
    result = shop.run("init", "back", "--table", "Customers", "--kind", "engagement")
    assert isinstance(result.exception, ConfigurationError)
    assert "Customers: no column seems made for what Braze tells; add some in Caspio" in str(result.exception)
    assert not (shop.folder / "syncs").exists()


def test_the_zone_of_the_wall_clocks_is_that_of_the_timestamp(shop: Shop) -> None:
    shop.run("init", "customers", "--table", "Customers")
    assert load_sync(shop.folder / "syncs" / "customers.yaml").source.time_zone == "Europe/London"


@pytest.mark.parametrize("kind", ["profiles", "catalog", "engagement"])
def test_without_a_timestamp_the_zone_is_left_to_a_person_and_the_check_warns(people: Shop, kind: str) -> None:
    people.run("init", "mine", "--table", "People", "--kind", kind)
    assert "  # time_zone: Europe/London" in (people.folder / "syncs" / "mine.yaml").read_text()
    said = people.run("check", "mine").output
    assert ("LastOpened are read as wall clocks of UTC" in said) == (kind != "profiles")  # there it is not mapped


@pytest.mark.parametrize(
    ("line", "warned"),
    [("", True), (", time_zone: UTC", True), (", time_zone: Europe/London", False)],
)
def test_the_check_warns_of_wall_clocks_of_utc(shop: Shop, line: str, warned: Any) -> None:
    fields = [{"Name": "No", "Type": "STRING"}, {"Name": "Since", "Type": "DATE/TIME"}]
    stamp = {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnUpdate": True, "TimeZone": "GMT Standard Time"}
    shop.caspio.create_table("Clocks", [*fields, stamp])
    shop.write_sync(
        f"kind: profiles\nsource: {{table: Clocks{line}}}\nidentity: {{external_id: No}}\nfields: {{since: Since}}\n"
    )
    said = shop.run("check", "customers").output
    assert ("though the table's Timestamp field is in Europe/London" in said) == warned


def test_columns_that_an_engagement_return_writes_are_no_attributes(people: Shop) -> None:
    people.run("init", "back", "--table", "People", "--kind", "engagement")
    people.caspio.create_table(
        "More", [{"Name": each, "Type": "STRING"} for each in ("CustomerNo", "City", "Touched", "LastCampaign")]
    )
    (people.folder / "syncs" / "more.yaml").write_text(
        "kind: engagement\nsource: {table: more}\nidentity: {external_id: CustomerNo}\n"
        "fields: {Touched: preferred_channel}\n"
    )
    for table, mapped in (("People", {"email"}), ("More", {"home_city"})):
        people.run("init", "mine", "--table", table, "--force")
        assert load_sync(people.folder / "syncs" / "mine.yaml").fields.keys() == mapped


def test_a_proposal_waits_for_a_person(shop: Shop) -> None:
    said = shop.run("init", "customers", "--table", "Customers").output
    assert "Schedules run it once its line `enabled: false` is removed" in said
    assert not load_sync(shop.folder / "syncs" / "customers.yaml").enabled
    assert "enabled: false: it runs by hand alone" in shop.run("check", "customers").output

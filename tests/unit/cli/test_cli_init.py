from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import load_sync


def test_the_written_file_is_a_sync_that_loads(shop):
    result = shop.run("init", "customers", "--table", "Customers")
    assert result.exit_code == 0, result.output
    written = load_sync(shop.folder / "syncs" / "customers.yaml")
    assert written.identity.external_id == "CustomerNo"
    assert written.source.cursor == "ChangedAt"
    assert {"first_name", "email", "spend"} <= written.fields.keys()


def test_the_written_file_passes_the_check(shop):
    shop.run("init", "customers", "--table", "Customers")
    result = shop.run("check", "customers")
    assert result.exit_code == 0, result.output


def test_it_says_what_was_guessed_and_what_comes_next(shop):
    output = shop.run("init", "customers", "--table", "Customers").output
    assert "first_name" in output
    assert "not mapped, look at the comments in the file: CreatedAt" in output
    assert "caspio-sync check customers" in output


def test_a_file_that_is_there_is_kept(shop):
    path = shop.write_sync("mine: true\n")
    result = shop.run("init", "customers", "--table", "Customers")
    assert isinstance(result.exception, ConfigurationError)
    assert "--force" in str(result.exception)
    assert path.read_text() == "mine: true\n"


def test_force_writes_over_it(shop):
    path = shop.write_sync("mine: true\n")
    assert shop.run("init", "customers", "--table", "Customers", "--force").exit_code == 0
    assert load_sync(path).source.table == "Customers"


def test_an_unknown_table_is_refused_with_the_nearest_name(shop):
    result = shop.run("init", "customers", "--table", "Custmers")
    assert isinstance(result.exception, ConfigurationError)
    assert "did you mean Customers?" in str(result.exception)
    assert not (shop.folder / "syncs").exists()


def test_a_view_is_paged_by_a_unique_whole_number(shop):
    shop.caspio.create_view("Buyers", "Customers", ["CustomerNo", "FirstName", "Email", "Number"])
    result = shop.run("init", "buyers", "--view", "Buyers")
    assert result.exit_code == 0, result.output
    source = load_sync(shop.folder / "syncs" / "buyers.yaml").source
    assert (source.view, source.table, source.page_by) == ("Buyers", None, "Number")


def test_a_view_without_such_a_number_is_refused(shop):
    shop.caspio.create_view("Names", "Customers", ["CustomerNo", "FirstName"])
    result = shop.run("init", "names", "--view", "Names")
    assert isinstance(result.exception, ConfigurationError)
    assert "Autonumber" in str(result.exception)


def test_table_and_view_together_are_a_usage_error(shop):
    result = shop.run("init", "customers", "--table", "Customers", "--view", "Buyers")
    assert result.exit_code == 2
    assert "name one of --table and --view" in result.output


def test_a_name_that_leaves_the_folder_is_refused(shop):
    result = shop.run("init", "a b", "--table", "Customers")
    assert isinstance(result.exception, ConfigurationError)
    assert "no name for a sync" in str(result.exception)

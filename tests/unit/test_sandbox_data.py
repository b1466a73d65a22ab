"""The sandbox's customers: who they are, how dirty they are, and that they are the same every time."""

from typing import Any

import phonenumbers
import polars as pl
import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.data import DATA, FIELDS, TABLE, draw_customers, load_customers, read_lists
from tests.build_sandbox_data import customers, zones_of
from tests.virtual_clock import VirtualClock


def a_loaded_sandbox(rows: int | None = None, seed: int = 1) -> CaspioSandbox:
    sandbox = CaspioSandbox(clock=VirtualClock())
    load_customers(sandbox, rows, seed)
    return sandbox


@pytest.fixture(scope="module")
def shop() -> pl.DataFrame:
    return pl.concat(draw_customers())


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    return pl.concat(draw_customers(30_000))


def share(frame: pl.DataFrame, condition: pl.Expr) -> float:
    return float(frame.select(condition.fill_null(value=False).mean()).item())


def test_without_a_number_the_shop_s_own_customers_are_loaded() -> None:
    sandbox = a_loaded_sandbox()
    rows = sandbox.rows(TABLE)
    assert len(rows) == 4372
    assert list(rows[0]) == ["PK_ID", *(field["Name"] for field in FIELDS)]
    assert rows[1]["CustomerNo"] == "12347"
    assert (rows[1]["Country"], rows[1]["Orders"], rows[1]["Items"], rows[1]["Spend"]) == ("Iceland", 7, 2458, 4310.0)


def test_loading_by_frame_stores_what_inserting_row_by_row_stores() -> None:
    loaded = a_loaded_sandbox(300)
    inserted = CaspioSandbox(clock=VirtualClock())
    inserted.create_table(TABLE, FIELDS)
    inserted.insert_rows(TABLE, (row for frame in draw_customers(300) for row in frame.iter_rows(named=True)))
    assert loaded.rows(TABLE) == inserted.rows(TABLE)


def test_loaded_rows_can_be_changed() -> None:
    sandbox = a_loaded_sandbox(20)
    sandbox.update_rows(TABLE, {"City": "Hull"}, "PK_ID=3")
    assert [row["City"] == "Hull" for row in sandbox.rows(TABLE)].index(True) == 2


@pytest.mark.parametrize("rows", [1, 9, 1000])
def test_any_number_of_customers_is_drawn(rows: int) -> None:
    assert len(a_loaded_sandbox(rows).rows(TABLE)) == rows


def test_the_same_seed_gives_the_same_customers(shop: pl.DataFrame) -> None:
    assert shop.equals(pl.concat(draw_customers()))


def test_another_seed_gives_other_people(shop: pl.DataFrame) -> None:
    assert not shop["Email"].equals(pl.concat(draw_customers(seed=2))["Email"])


def test_keys_are_unique_as_the_database_compares(many: pl.DataFrame) -> None:
    assert many["CustomerNo"].str.strip_chars_end(" ").str.to_lowercase().n_unique() == many.height


def test_two_keys_come_twice_behind_a_blank(many: pl.DataFrame) -> None:
    assert many.height - many["CustomerNo"].str.strip_chars().n_unique() == 2


def test_two_addresses_come_twice_in_capitals(shop: pl.DataFrame) -> None:
    capitals = shop["Email"].tail(4).head(2)
    assert capitals.str.to_lowercase().is_in(shop["Email"].to_list()).all()


@pytest.mark.parametrize(
    ("what", "condition", "low", "high"),
    [
        ("empty e-mail", pl.col("Email") == "", 0.02, 0.04),
        ("odd e-mail", ~pl.col("Email").str.contains(r"^([a-z]+\.[a-z]+\d+@[a-z.]+)?$"), 0.01, 0.02),
        ("empty phone", pl.col("Phone") == "", 0.1, 0.14),
        (
            "missing name",
            (pl.col("FirstName").fill_null("") == "") | (pl.col("LastName").fill_null("") == ""),
            0.006,
            0.014,
        ),
        ("no birth date", pl.col("BirthDate").is_null(), 0.06, 0.1),
        ("odd birth date", (pl.col("BirthDate") > "2020") | (pl.col("BirthDate") < "1900"), 0.0003, 0.002),
        ("odd zone", ~pl.col("TimeZone").str.contains(r"^[A-Z][a-z]+/[A-Z][A-Za-z_/]+$"), 0.001, 0.005),
        ("odd language", ~pl.col("Language").str.contains("^([a-z]{2})?$"), 0.01, 0.03),
        ("negative spend", pl.col("Spend") < 0, 0.001, 0.02),
        ("notes", pl.col("Notes") != "", 0.02, 0.05),
        ("e-mail consent", pl.col("EmailConsent") == "yes", 0.5, 0.6),
    ],
)
def test_dirt_and_consent_have_their_share(
    many: pl.DataFrame, what: str, condition: pl.Expr, low: float, high: float
) -> None:
    assert low < share(many, condition) < high, what


def test_about_two_in_a_hundred_phones_are_unsound() -> None:
    frame = pl.concat(draw_customers(3000)).filter(pl.col("Phone") != "")
    regions = {word: place.region for word, place in read_lists().places.items()}

    def sound(row: dict[str, Any]) -> bool:
        try:
            return phonenumbers.is_valid_number(
                phonenumbers.parse(row["Phone"].removeprefix("tel:"), regions[row["Country"]])
            )
        except phonenumbers.NumberParseException:
            return False

    unsound = sum(not sound(row) for row in frame.iter_rows(named=True)) / frame.height
    assert 0.01 < unsound < 0.035


def test_interests_are_one_to_four_different_words(many: pl.DataFrame) -> None:
    lengths = many["Interests"].list.len()
    assert (lengths.min(), lengths.max()) == (1, 4)
    assert (many["Interests"].list.n_unique() == lengths).all()


def test_every_country_of_the_shop_has_people_to_draw() -> None:
    lists = read_lists()
    assert set(lists.shop["Country"]) <= set(lists.places)
    for word, place in lists.places.items():
        parts = (place.cities, place.zones, place.phones, place.bad_phones, place.surnames[0])
        assert all(len(part) for part in (*parts, place.forenames["F"][0], place.forenames["M"][0])), word


def test_shipped_data_is_small_and_licensed() -> None:
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_700_000
    folders = [path for path in DATA.iterdir() if path.is_dir()]
    assert all(any(folder.glob("LICENSE*")) for folder in folders)
    notice = (DATA / "NOTICE.md").read_text(encoding="utf-8")
    assert all(f"`{folder.name}/`" in notice for folder in folders)


def test_cancellations_subtract_and_are_no_orders() -> None:
    lines = pl.DataFrame(
        {
            "InvoiceNo": ["1", "1", "C2"],
            "Description": ["JAR", "BAG", "JAR"],
            "Quantity": ["10", "3", "-8"],
            "InvoiceDate": ["2011-01-01 10:00:00", "2011-01-01 10:00:00", "2011-01-02 10:00:00"],
            "UnitPrice": ["2.0", "1.5", "2.0"],
            "CustomerID": ["12346.0"] * 3,
            "Country": ["EIRE"] * 3,
        }
    )
    assert customers(lines).rows(named=True) == [
        {
            "CustomerNo": "12346",
            "Country": "EIRE",
            "Orders": 1,
            "Items": 5,
            "Spend": 8.5,
            "FirstOrder": "2011-01-01T10:00:00",
            "LastOrder": "2011-01-02T10:00:00",
            "FavouriteProduct": "BAG",
            "Wholesale": False,
        }
    ]


def test_zones_are_a_country_s_own_before_those_it_shares() -> None:
    table = "# comment\nAU\t-3352+15113\tAustralia/Sydney\nJP,AU\t+353916+1394441\tAsia/Tokyo\nGB,JE\t+513030-0000731\tEurope/London"
    assert zones_of("AU", table) == ["Australia/Sydney"]
    assert zones_of("JE", table) == ["Europe/London"]

"""Whatever a run would refuse for its file, table, names or types, `check` refuses first, with file and line."""

import pytest

from tests.unit.cli.conftest import Shop

HEAD = "kind: profiles\nsource: {table: Customers}\nidentity: {external_id: CustomerNo}\nfields:\n  spend: Spend\n"
VIEW = "kind: profiles\nsource:\n  view: People\n  page_by: Number\nidentity: {external_id: CustomerNo}\nfields: {first_name: FirstName}\n"
RETURN = "kind: engagement\nsource: {table: Customers}\nidentity: {external_id: CustomerNo}\n"
GATE = "gate:\n  expectations:\n  - type: expect_column_"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("{table: Customers}", "{table: Customers, cursor: Changed}"), "2: source.cursor: the table has no field Changed"),
        (HEAD.replace("{table: Customers}", "{table: Customers, cursor: CreatedAt}"), "2: source.cursor: CreatedAt (TIMESTAMP) is not stamped on update"),
        (HEAD.replace("{table: Customers}", "{table: Customers, where: Nothing=1}"), "2: source.where: Caspio refuses it"),
        (VIEW, "4: source.page_by: the view has no field Number"),
        (HEAD + GATE + "values_to_be_between\n    kwargs: {column: spend, min_value: cheap}\n", "8: gate.expectations: expect_column_values_to_be_between has 'cheap' in min_value"),
        (HEAD + GATE + "values_to_match_like_pattern\n    kwargs: {column: spend, like_pattern: 1%}\n", "8: expect_column_values_to_match_like_pattern: gate: expect_column_values_to_match_like_pattern spend could not be evaluated"),
        (RETURN + "fields:\n  Number: email_opens\n", "5: fields.Number: 'Number' is unique in Caspio"),
        (RETURN + "campaign_stats: {table: Stats}\n", "4: Caspio has no table Stats"),
        (RETURN + "campaign_stats: {table: Bare, create: true}\n", "4: Bare lacks StatKey"),
    ],
)  # fmt: skip
def test_what_a_run_would_refuse_is_refused_with_its_line(shop: Shop, text: str, said: str) -> None:
    shop.caspio.create_view("People", "Customers", ["CustomerNo", "FirstName"])
    shop.caspio.create_table("Bare", [{"Name": "Id", "Type": "STRING"}])
    shop.write_sync(text)
    result = shop.document("check", "customers")
    errors = [each["what"] for each in result["findings"] if each["level"] == "error"]
    assert [each for each in errors if said in each and "customers.yaml:" in each], errors
    assert shop.run("check", "customers").exit_code == 2


def test_a_plan_tells_what_the_mapping_gains_and_loses_and_which_expectation_fails(shop: Shop) -> None:
    shop.write_sync()
    shop.record({"A1": ("sent", None)})
    shop.write_sync(
        HEAD.replace("spend:", "spent:")
        + GATE
        + "values_to_be_between\n    kwargs: {column: spent, min_value: 100}\n    meta: {why: nobody buys less}\n"
    )
    planned = shop.run("plan", "customers").output
    assert "syncs/customers.yaml:4: spent is new: it goes out for every row that has a value" in planned
    assert "syncs/customers.yaml:4: first_name is not mapped any more: Braze keeps the value it has" in planned
    assert "syncs/customers.yaml:4: spend is not mapped any more" in planned
    assert "gate: expect_column_values_to_be_between spent (critical): 3 of 3 rows fail it: nobody buys less" in planned

    shop.write_sync()
    assert "mapped any more" not in shop.run("plan", "customers").output

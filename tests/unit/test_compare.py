"""What the comparison says of new, changed, unchanged, held and settled rows, and of the fields that travel."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.ledger.claims import claim_keys
from caspio_sync.ledger.compare import (
    KEY_UNIQUE,
    ONLY_OPT_OUT,
    OPT_OUT,
    Comparison,
    Versions,
    compare,
    opt_out,
    repeated,
    send,
)
from caspio_sync.ledger.fingerprints import mask_names, unpack
from caspio_sync.ledger.schema import LEDGER_ROW_SCHEMA
from caspio_sync.schemas import MappedColumn, Verdict

EMAIL_GROUP, SMS_GROUP = "subscription_groups.e", "subscription_groups.s"
COLUMNS = (
    MappedColumn("first_name", pl.String),
    MappedColumn("email", pl.String),
    MappedColumn("phone", pl.String),
    MappedColumn("orders", pl.Int64),
    MappedColumn("notes", pl.String, on_null="clear"),
    MappedColumn("email_subscribe", pl.String, role="consent"),
    MappedColumn("push_subscribe", pl.String, role="consent"),
    MappedColumn(EMAIL_GROUP, pl.String, role="subscription_group", channel="email"),
    MappedColumn(SMS_GROUP, pl.String, role="subscription_group", channel="sms"),
)
ROW: dict[str, Any] = {
    "source_pk": 1,
    "key": "k1",
    "first_name": "Ann",
    "email": "ann@example.com",
    "phone": "+44 1",
    "orders": 3,
    "notes": None,
    "email_subscribe": "subscribed",
    "push_subscribe": "opted_in",
    EMAIL_GROUP: "subscribed",
    SMS_GROUP: "unsubscribed",
    "problems": None,
}
NOTHING = pl.DataFrame(schema=LEDGER_ROW_SCHEMA)
Row = dict[str, Any]
Columns = tuple[MappedColumn, ...]


def a_frame(*rows: Row, columns: Columns = COLUMNS) -> pl.DataFrame:
    schema = (
        {"source_pk": pl.Int64, "key": pl.String}
        | {each.name: each.dtype for each in columns}
        | {"problems": pl.String}
    )
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def compared(
    *rows: Row, known: pl.DataFrame = NOTHING, columns: Columns = COLUMNS, mapping: int = 1, suite: int = 1, former: Columns = COLUMNS, resend: bool = False
) -> Comparison:  # fmt: skip
    names = {1: tuple(each.name for each in former), mapping: tuple(each.name for each in columns)}
    return compare(
        a_frame(*rows, columns=columns),
        known,
        columns=columns,
        versions=Versions(mapping, suite, names),
        consent=CONSENT,
        salt=5,
        resend=resend,
    )


def known_after(
    *rows: Row, verdict: Verdict = Verdict.SENT, before: pl.DataFrame = NOTHING, mapping: int = 1, suite: int = 1
) -> pl.DataFrame:
    """The ledger's rows once the changes have this verdict."""
    changes = compared(*rows, known=before).changes
    seen = changes.select(
        "source_pk", "key", "key_hash", sent_fp="fp", sent_fields="fields", seen_fp="fp", verdict=pl.lit(verdict.value)
    ).with_columns(
        suite_version=pl.lit(suite, dtype=pl.Int64), mapping_version=pl.lit(mapping, dtype=pl.Int64), sent_mapping_version=pl.lit(mapping, dtype=pl.Int64)
    )  # fmt: skip
    if verdict == Verdict.SENT:
        return seen.cast(LEDGER_ROW_SCHEMA)
    kept = before.select("source_pk", "sent_fp", "sent_fields", "sent_mapping_version")
    seen = seen.drop("sent_fp", "sent_fields", "sent_mapping_version").join(kept, on="source_pk", how="left")
    return (
        seen.with_columns(pl.col("sent_mapping_version").fill_null(0))
        .select(LEDGER_ROW_SCHEMA.names())
        .cast(LEDGER_ROW_SCHEMA)
    )


def travels(changes: pl.DataFrame, columns: Columns = COLUMNS) -> list[str]:
    (row,) = changes.to_dicts()
    named = [each.name for each in columns if row[send(each.name)]]
    assert row["_changed"] == ",".join(named)
    assert mask_names(row["changed"], [each.name for each in columns]) == named
    return named


SENT = known_after(ROW)


def changed(**values: Any) -> pl.DataFrame:
    return compared(ROW | values, known=SENT).changes


def test_a_row_the_ledger_does_not_know_is_new_and_all_its_values_travel() -> None:
    changes = compared(ROW).changes
    assert changes["_op"].to_list() == ["new"]
    assert travels(changes) == [each.name for each in COLUMNS]


def test_a_null_of_a_new_row_travels_only_where_the_column_clears() -> None:
    changes = compared(dict.fromkeys(ROW) | {"source_pk": 1, "key": "k"}).changes
    assert travels(changes) == ["notes"]


def test_a_row_without_any_value_is_new_all_the_same() -> None:
    columns = COLUMNS[:1]
    changes = compared(dict.fromkeys(ROW) | {"source_pk": 1, "key": "k"}, columns=columns).changes
    assert changes.select("_op", "_changed").rows() == [("new", "")]


def test_a_row_that_was_sent_like_this_is_unchanged() -> None:
    result = compared(ROW, known=SENT)
    assert (result.changes.height, result.settled.height, result.unchanged) == (0, 0, 1)


def test_only_changed_fields_travel() -> None:
    changes = changed(first_name="Anne", orders=4)
    assert changes["_op"].to_list() == ["changed"]
    assert travels(changes) == ["first_name", "orders"]


def test_the_fields_stand_as_acknowledged_where_nothing_travels() -> None:
    names = [each.name for each in COLUMNS]
    before = unpack(SENT["sent_fields"], names, names)
    after = unpack(changed(first_name=None, orders=4)["fields"], names, names)
    assert [name for name, old, new in zip(names, before[0], after[0], strict=True) if old != new] == ["orders"]


def test_a_value_that_is_gone_is_settled_where_nulls_are_not_sent() -> None:
    result = compared(ROW | {"orders": None}, known=SENT)
    assert (result.changes.height, result.unchanged) == (0, 0)
    assert result.settled["source_pk"].to_list() == [1]
    assert result.settled["fields"].to_list() == SENT["sent_fields"].to_list()


def test_a_value_that_is_gone_travels_as_null_where_the_column_clears() -> None:
    known = known_after(ROW | {"notes": "call back"})
    assert travels(compared(ROW, known=known).changes) == ["notes"]


def test_a_row_with_a_problem_is_never_settled() -> None:
    result = compared(ROW | {"orders": None, "problems": "orders: is no value of Caspio's type INTEGER"}, known=SENT)
    assert (result.changes.height, result.settled.height) == (1, 0)


@pytest.mark.parametrize("verdict", [Verdict.QUARANTINED, Verdict.REJECTED, Verdict.BLOCKED])
def test_a_row_that_was_held_like_this_stays_held(verdict: Verdict) -> None:
    result = compared(ROW, known=known_after(ROW, verdict=verdict))
    assert (result.changes.height, result.settled.height, dict(result.held)) == (0, 0, {verdict: 1})


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.SUPERSEDED])
def test_a_row_whose_version_was_not_settled_goes_again(verdict: Verdict) -> None:
    assert compared(ROW, known=known_after(ROW, verdict=verdict)).changes["_op"].to_list() == ["new"]


@pytest.mark.parametrize("versions", [{"suite": 2}, {"mapping": 2}])
def test_a_held_row_is_judged_again_under_another_suite_or_mapping(versions: dict[str, Any]) -> None:
    held = known_after(ROW, verdict=Verdict.QUARANTINED)
    assert compared(ROW, known=held, **versions).changes.height == 1


def test_another_suite_does_not_send_again_what_was_sent() -> None:
    assert compared(ROW, known=SENT, suite=2).unchanged == 1


def test_a_changed_row_that_was_held_is_compared_with_what_was_sent() -> None:
    held = known_after(ROW | {"orders": 4}, verdict=Verdict.QUARANTINED, before=SENT)
    assert travels(compared(ROW | {"orders": 4, "first_name": "Bo"}, known=held).changes) == ["first_name", "orders"]


def test_a_held_row_that_goes_back_to_what_was_sent_is_settled() -> None:
    held = known_after(ROW | {"orders": 4}, verdict=Verdict.QUARANTINED, before=SENT)
    result = compared(ROW, known=held)
    assert (result.changes.height, result.settled.height) == (0, 1)


def test_a_row_whose_answer_was_lost_sends_all_its_values_when_it_goes_back() -> None:
    lost = known_after(ROW | {"orders": 4}, verdict=Verdict.UNKNOWN, before=SENT)
    changes = compared(ROW, known=lost).changes
    assert changes["_op"].to_list() == ["changed"]
    assert travels(changes) == [each.name for each in COLUMNS]


def test_a_field_that_is_added_travels_alone() -> None:
    columns = (*COLUMNS, MappedColumn("city", pl.String))
    changes = compared(ROW | {"city": "Hull"}, known=SENT, columns=columns, mapping=2).changes
    assert travels(changes, columns) == ["city"]


def test_a_field_that_is_added_without_a_value_is_settled() -> None:
    columns = (MappedColumn("city", pl.String), *COLUMNS)
    result = compared(ROW, known=SENT, columns=columns, mapping=2)
    assert (result.changes.height, result.settled.height) == (0, 1)
    assert len(result.settled["fields"][0]) == 8 * len(columns)


def test_a_field_that_is_removed_is_dropped_and_nothing_travels() -> None:
    result = compared(ROW, known=SENT, columns=COLUMNS[1:], mapping=2)
    assert (result.changes.height, result.settled.height) == (0, 1)
    assert result.settled["fields"][0] == SENT["sent_fields"][0][8:]


def test_a_field_that_begins_to_clear_sends_its_nulls() -> None:
    known = known_after(ROW | {"first_name": None})
    columns = (replace(COLUMNS[0], on_null="clear"), *COLUMNS[1:])
    assert travels(compared(ROW | {"first_name": None}, known=known, columns=columns, mapping=2).changes) == [
        "first_name"
    ]


def test_a_row_with_another_key_is_another_profile() -> None:
    changes = compared(ROW | {"key": "K1"}, known=SENT).changes
    assert changes["_op"].to_list() == ["new"]
    assert travels(changes) == [each.name for each in COLUMNS]


def test_a_resend_sends_every_value_of_every_row() -> None:
    result = compared(ROW, known=SENT, resend=True)
    assert (result.changes["_op"].to_list(), result.unchanged) == (["changed"], 0)
    assert travels(result.changes) == [each.name for each in COLUMNS]


def test_a_resend_goes_over_held_rows_too() -> None:
    assert compared(ROW, known=known_after(ROW, verdict=Verdict.REJECTED), resend=True).changes.height == 1


@pytest.mark.parametrize(
    ("column", "old", "new", "opted_out"),
    [
        ("email_subscribe", "subscribed", "unsubscribed", True),
        ("email_subscribe", "opted_in", "subscribed", True),
        ("email_subscribe", "opted_in", "unsubscribed", True),
        ("email_subscribe", None, "unsubscribed", True),
        (EMAIL_GROUP, "subscribed", "unsubscribed", True),
        ("email_subscribe", "unsubscribed", "subscribed", False),
        ("email_subscribe", "subscribed", "opted_in", False),
        ("email_subscribe", None, "subscribed", False),
        ("email_subscribe", None, "opted_in", False),
        ("push_subscribe", "unsubscribed", "maybe", False),
    ],
)
def test_only_a_more_restrictive_consent_is_an_opt_out(column: str, old: str | None, new: str, opted_out: bool) -> None:
    known = known_after(ROW | {column: old})
    changes = compared(ROW | {column: new}, known=known).changes
    assert changes.select(OPT_OUT, opt_out(column), ONLY_OPT_OUT).rows() == [(opted_out,) * 3]
    assert travels(changes) == [column]


def test_a_consent_that_becomes_unknown_is_no_opt_out_and_does_not_travel() -> None:
    assert compared(ROW | {"email_subscribe": None}, known=SENT).settled.height == 1


def test_an_opt_out_beside_other_changes_leaves_the_rest_to_the_gate() -> None:
    changes = changed(orders=4, push_subscribe="unsubscribed")
    assert changes.select(OPT_OUT, ONLY_OPT_OUT).rows() == [(True, False)]
    assert travels(changes) == ["orders", "push_subscribe"]
    names = [each.name for each in COLUMNS]
    assert mask_names(changes["consent_changed"][0], names) == ["push_subscribe"]
    before, alone = unpack(SENT["sent_fields"], names, names), unpack(changes["consent_fields"], names, names)
    assert [name for name, old, new in zip(names, before[0], alone[0], strict=True) if old != new] == ["push_subscribe"]


def test_a_row_without_an_opt_out_has_no_consent_fields() -> None:
    changes = changed(orders=4)
    assert changes.select("consent_fields", "consent_changed").rows() == [(None, None)]
    assert changes.schema["consent_changed"] == pl.Binary


def test_a_new_address_takes_the_consent_of_its_channel_along() -> None:
    assert travels(changed(email="a@example.com")) == ["email", "email_subscribe", EMAIL_GROUP]


def test_a_new_number_takes_the_sms_groups_along() -> None:
    assert travels(changed(phone="+44 2")) == ["phone", SMS_GROUP]


def test_an_unknown_consent_does_not_travel_with_a_new_address() -> None:
    known = known_after(ROW | {"email_subscribe": None})
    changes = compared(ROW | {"email_subscribe": None, "email": "a@example.com"}, known=known).changes
    assert travels(changes) == ["email", EMAIL_GROUP]


def test_a_no_that_is_no_longer_told_is_repeated_with_a_new_address_and_stays_known() -> None:
    known = known_after(ROW | {EMAIL_GROUP: "unsubscribed"})
    moved = ROW | {EMAIL_GROUP: None, "email": "a@example.com"}
    changes = compared(moved, known=known).changes
    assert EMAIL_GROUP in travels(changes)
    assert changes[repeated(EMAIL_GROUP)].to_list() == ["unsubscribed"]
    known = known_after(moved, before=known)
    assert compared(moved | {EMAIL_GROUP: "unsubscribed"}, known=known).changes.is_empty()


def test_a_yes_that_is_no_longer_told_is_forgotten_with_the_former_address_so_that_a_later_no_is_an_opt_out() -> None:
    known = known_after(ROW | {EMAIL_GROUP: "subscribed"})
    moved = ROW | {EMAIL_GROUP: None, "email": "a@example.com"}
    assert EMAIL_GROUP not in travels(compared(moved, known=known).changes)
    known = known_after(moved, before=known)
    changes = compared(moved | {EMAIL_GROUP: "unsubscribed"}, known=known).changes
    assert changes[OPT_OUT].to_list() == [True]
    assert travels(changes) == [EMAIL_GROUP]


def test_every_row_is_counted_in_one_place() -> None:
    rows = [ROW | {"source_pk": pk, "key": f"k{pk}"} for pk in range(1, 5)]
    known = pl.concat([known_after(*rows[:2]), known_after(rows[2], verdict=Verdict.QUARANTINED)])
    result = compared(rows[0], rows[1] | {"orders": None}, rows[2], rows[3], known=known)
    assert (result.unchanged, result.settled.height, dict(result.held), result.changes.height) == (
        1,
        1,
        {"quarantined": 1},
        1,
    )


def test_rows_of_the_ledger_beyond_the_frame_do_not_matter() -> None:
    result = compared(ROW, known=known_after(ROW, ROW | {"source_pk": 2}))
    assert (result.unchanged, result.changes.height) == (1, 0)


def test_an_empty_frame_compares_to_nothing() -> None:
    result = compared(known=SENT)
    assert (result.changes.height, result.settled.height, result.unchanged, dict(result.held)) == (0, 0, 0, {})


def claimed(changes: pl.DataFrame, *claimants: tuple[int, int]) -> list[tuple[bool, str | None]]:
    schema = {"key_hash": pl.Int64, "source_pk": pl.Int64}
    frame = pl.DataFrame(list(claimants), schema=schema, orient="row")
    return claim_keys(changes, frame).select(KEY_UNIQUE, "problems").rows()


def test_of_two_rows_with_one_key_in_a_batch_the_first_keeps_it() -> None:
    changes = compared(
        ROW | {"source_pk": 8, "key": "ABC"}, ROW | {"source_pk": 7, "key": "abc", "problems": "phone: x"}
    ).changes
    assert claimed(changes) == [(False, "key: PK_ID 8 claims the key of PK_ID 7"), (True, "phone: x")]


def test_a_key_that_another_row_holds_is_not_given_away() -> None:
    changes = compared(ROW | {"problems": "phone: x"}).changes
    assert claimed(changes, (changes["key_hash"][0], 9)) == [
        (False, "key: PK_ID 1 claims the key of PK_ID 9; phone: x")
    ]


def test_the_first_claimant_named_holds_the_key() -> None:
    changes = compared(ROW).changes
    hashed = changes["key_hash"][0]
    assert claimed(changes, (hashed, 1), (hashed, 9)) == [(True, None)]


def test_rows_without_a_key_claim_none() -> None:
    changes = compared(ROW | {"key": None}, ROW | {"key": None, "source_pk": 2}).changes
    assert claimed(changes) == [(True, None), (True, None)]


def test_claiming_keeps_rows_and_columns() -> None:
    changes = compared(*(ROW | {"source_pk": pk, "key": f"k{pk % 2}"} for pk in (4, 3, 2))).changes
    after = claim_keys(changes, pl.DataFrame(schema={"key_hash": pl.Int64, "source_pk": pl.Int64}))
    assert after.columns == changes.columns
    assert after["source_pk"].to_list() == [4, 3, 2]

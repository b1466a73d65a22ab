"""Who may look at the page, and what is told of one person."""

import re

import pytest

from tests.unit.cli.conftest import EVIL, SYNC, Shop
from tests.unit.cli.dashboard_visitor import TOKEN, Visitor, table, text_of

# Who may look.


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8781", "", "127.0.0.1:x", "0.0.0.0", "[::1"],
)
def test_a_page_under_another_name_is_refused(months: Shop, host: str) -> None:
    answer = Visitor().get("/", Host=host)
    assert (answer.status_code, "customers" in answer.text) == (403, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8781", "LOCALHOST", "[::1]:8781", "[::1]"])
def test_this_machine_has_several_names(months: Shop, host: str) -> None:
    assert Visitor().get("/", Host=host).status_code == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:8781", "http://127.0.0.1:1", "http://127.0.0.1"]
)
def test_what_another_page_posts_is_refused(months: Shop, origin: str | None) -> None:
    visitor = Visitor()
    visitor.enter()
    answer = visitor.ask(
        "POST", "/person", {} if origin is None else {"Origin": origin}, data={"sync": "customers", "key": "A1"}
    )
    assert (answer.status_code, "Field by field" in answer.text) == (403, False)
    answer = visitor.ask("POST", "/enter", {} if origin is None else {"Origin": origin}, data={"token": TOKEN})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), f" {TOKEN}", "é"])
def test_a_person_is_shown_to_nobody_without_the_token(months: Shop, token: str) -> None:
    visitor = Visitor()
    assert (visitor.get("/person").status_code, visitor.get("/person").headers["location"]) == (
        303,
        "/enter?to=/person",
    )
    assert visitor.enter(token).status_code == 403
    assert visitor.post("/person", sync="customers", key="A1").status_code == 303
    visitor.cookies = {visitor.door.cookie: "0" * 64}
    assert visitor.get("/person").status_code == 303


def test_the_token_opens_what_it_is_asked_for_and_leads_nowhere_else(months: Shop) -> None:
    visitor = Visitor()
    answer = visitor.enter(to="https://evil.example")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert TOKEN not in answer.headers["set-cookie"]
    assert {"httponly", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert visitor.get("/person").status_code == 200
    assert Visitor().enter().headers["location"] == "/person"


def test_reached_from_elsewhere_every_page_asks_for_the_token(months: Shop) -> None:
    visitor = Visitor("https://sync.company.example")
    for path in ("/", "/sync/customers", "/run/r-last", "/person"):
        assert visitor.get(path).status_code == 303
    assert visitor.get("/static/dashboard.css").status_code == 200
    assert visitor.get("/", Host="127.0.0.1").status_code == 403
    assert visitor.get("/", Host="sync.company.example:444").status_code == 403
    assert "secure" in visitor.enter().headers["set-cookie"].lower().split("; ")
    assert visitor.get("/").status_code == 200
    assert list(visitor.cookies) == ["__Host-caspio_sync_ui"]


def test_no_page_is_kept_framed_or_loads_from_elsewhere(months: Shop) -> None:
    visitor = Visitor()
    visitor.enter()
    for path in ("/", "/sync/customers", "/person", "/enter", "/nowhere", "/static/dashboard.js"):
        answer = visitor.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] in ({"no-cache"} if path.startswith("/static/") else {"no-store"})
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", answer.text)


# A person.


@pytest.fixture
def entered(months: Shop) -> Visitor:
    visitor = Visitor()
    visitor.enter()
    return visitor


def test_a_story_is_told_masked_and_with_values_where_they_are_asked_for(entered: Visitor) -> None:
    masked = entered.post("/person", sync="customers", key="B2").text
    assert "not an address" not in masked
    rows = {row[0]: row[1:] for row in table(masked, "field-table")}
    assert rows["email"][0] == "xxx xx xxxxxxx"
    assert rows["first_name"][0] == "xxx"
    assert "Bob" not in masked
    shown = entered.post("/person", sync="customers", key="B2", values="shown").text
    rows = {row[0]: row[1:] for row in table(shown, "field-table")}
    assert rows["email"][0] == "not an address"
    assert "ill-formed" in rows["email"][1]
    assert "Last verdict: quarantined" in text_of(shown)
    assert "email_format" in text_of(shown)


def test_each_field_is_held_against_what_was_acknowledged(months: Shop, entered: Visitor) -> None:
    def states(key: str) -> dict[str, str]:
        page = entered.post("/person", sync="customers", key=key).text
        return {row[0]: row[2] for row in table(page, "field-table")}

    assert states("A1") == {"first_name": "equal", "email": "equal", "spend": "equal"}
    months.caspio.update_rows("Customers", {"FirstName": "Adele"}, "CustomerNo='A1'")
    assert states("A1") == {"first_name": "differs", "email": "equal", "spend": "equal"}
    assert set(states("C3").values()) == {"never sent"}


def test_what_nobody_knows_is_said_and_the_address_never_bears_a_key(entered: Visitor) -> None:
    for sync, key, said in (
        ("customers", "Z9", "no row with this key"),
        ("customers", " ", "The key is empty"),
        ("nobody", "A1", "no sync of this name"),
        ("../../etc/passwd", "A1", "is no name for a sync"),
        ("customers", EVIL, "no row with this key"),
    ):
        answer = entered.post("/person", sync=sync, key=key)
        assert (answer.status_code, said in text_of(answer.text)) == (200, True), (sync, key, text_of(answer.text))
        assert "<script>alert" not in answer.text
        assert answer.headers.get("location") is None
    page = entered.get("/person").text
    assert re.findall(r'<form method="(\w+)" action="/person"', page) == ["post"]
    assert "A1" not in entered.ask("GET", "/person?sync=customers&key=A1").text


def test_of_several_rows_with_a_key_the_one_that_is_meant_is_told(months: Shop, entered: Visitor) -> None:
    by_name = SYNC.replace("external_id: CustomerNo", "external_id: FirstName").replace("  first_name: FirstName\n", "")
    months.write_sync(by_name)
    rows = [
        {"CustomerNo": number, "FirstName": "Twin", "Email": f"{number}@example.com", "Number": 40 + place}
        for place, number in enumerate(("D4", "E5"))
    ]
    emails = []
    for pk in months.caspio.insert_rows("Customers", rows):
        page = entered.post("/person", sync="customers", key="Twin", pk=str(pk), values="shown").text
        emails.append(next(row[1] for row in table(page, "field-table") if row[0] == "email"))
    assert emails == ["d4@example.com", "e5@example.com"]
    for wrong in ("x", "-1", "1e3", "9" * 40, "٣"):
        answer = entered.post("/person", sync="customers", key="A1", pk=wrong)
        assert (answer.status_code, "A PK_ID is a whole number" in text_of(answer.text)) == (200, True)


def test_without_caspio_the_ledger_s_part_is_told(months: Shop, entered: Visitor) -> None:
    months.unreachable.add("caspio")
    page = text_of(entered.post("/person", sync="customers", key="B2").text)
    assert "could not be read from Caspio" in page
    assert "Last verdict: quarantined" in page


def test_a_form_that_is_longer_than_ours_is_not_read(entered: Visitor) -> None:
    answer = entered.post("/person", sync="customers", key="A1", more="x" * 20_000)
    assert (answer.status_code, "Field by field" in answer.text) == (413, False)

"""What Braze must hold after the shipped customers sync: its rules said once more, in plain Python, row by row.

Nothing of the mapping is used here: a mistake there cannot excuse itself.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers

from caspio_sync.characters import trimmed
from tests.flows.consent_model import RANKS

NEWSLETTER = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
SMS_OFFERS = "b7c4a4a2-58f0-4c6e-8a51-5a0c9f2f7d22"
COUNTRIES = {
    "Australia": "AU", "Austria": "AT", "Bahrain": "BH", "Belgium": "BE", "Brazil": "BR", "Canada": "CA",
    "Channel Islands": "JE", "Cyprus": "CY", "Czech Republic": "CZ", "Denmark": "DK", "EIRE": "IE",
    "European Community": None, "Finland": "FI", "France": "FR", "Germany": "DE", "Greece": "GR", "Iceland": "IS",
    "Israel": "IL", "Italy": "IT", "Japan": "JP", "Lebanon": "LB", "Lithuania": "LT", "Malta": "MT",
    "Netherlands": "NL", "Norway": "NO", "Poland": "PL", "Portugal": "PT", "RSA": "ZA", "Saudi Arabia": "SA",
    "Singapore": "SG", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH", "USA": "US", "United Arab Emirates": "AE",
    "United Kingdom": "GB", "Unspecified": None,
}  # fmt: skip
LANGUAGES = frozenset(
    (
        "en",
        "de",
        "fr",
        "nl",
        "es",
        "pt",
        "it",
        "fi",
        "no",
        "el",
        "da",
        "sv",
        "ja",
        "ar",
        "pl",
        "he",
        "mt",
        "is",
        "cs",
        "lt",
    )
)
STATES = {"yes": "subscribed", "no": "unsubscribed", "double opt-in": "opted_in"}
PUSH = {"yes": "opted_in", "no": "unsubscribed"}
LONDON = ZoneInfo("Europe/London")
ZONES = frozenset(available_timezones())
OF_BRAZE_ALONE = ("braze_id", "created_at", "random_bucket")


class Bad(Exception):  # noqa: N818 - a verdict
    """The row is to be quarantined."""


def text(cell: Any) -> str | None:
    """A cell without control characters and outer blanks; None where nothing is left."""
    kept = "".join(char for char in cell or "" if char in "\t\n\r" or unicodedata.category(char) != "Cc")
    return trimmed(kept) or None


def untrimmed(cell: Any) -> str | None:
    kept = "".join(char for char in cell or "" if char in "\t\n\r" or unicodedata.category(char) != "Cc")
    return kept if trimmed(kept) else None


def email(cell: Any) -> str | None:
    address = text(cell)
    if address is None:
        return None
    address = address.lower()
    local, _, host = address.rpartition("@")
    labels = host.split(".")
    sound = (
        0 < len(local) <= 64
        and all(
            part and all(char.isalnum() or char in "+&#_^/$'%*=`~!?-" for char in part) for part in local.split(".")
        )
        and len(labels) > 1
        and all(0 < len(label) <= 63 and re.fullmatch("[a-z0-9-]+", label) for label in labels)
        and not any(label[0] == "-" or label[-1] == "-" for label in labels)
        and len(labels[-1]) > 1
        and labels[-1][0].isalpha()
        and len(address.encode()) <= 254
    )
    if not sound:
        raise Bad("email")
    return address


def phone(cell: Any, country: str | None) -> str | None:
    number = text(cell)
    if number is None:
        return None
    try:
        parsed = phonenumbers.parse(number, country or "GB")
    except phonenumbers.NumberParseException:
        raise Bad("phone") from None
    if not phonenumbers.is_valid_number(parsed):
        raise Bad("phone")
    return f"+{parsed.country_code}{'0' if parsed.italian_leading_zero else ''}{parsed.national_number}"


def language(cell: Any) -> str | None:
    word = (text(cell) or "").lower()
    if not word:
        return None
    code = {"english": "en"}.get(word, word)
    if code not in LANGUAGES:
        raise Bad("language")
    return code


def birth_date(cell: str | None) -> str | None:
    if cell is None:
        return None
    if not "1900-01-01" <= cell[:10] <= datetime.now(UTC).date().isoformat():
        raise Bad("dob")
    return date.fromisoformat(cell[:10]).isoformat()


def zone(cell: Any) -> str | None:
    name = text(cell)
    if name is not None and name not in ZONES:
        raise Bad("time_zone")
    return name


def utc(cell: str | None) -> str | None:
    if cell is None:
        return None
    moment = datetime.fromisoformat(cell).replace(tzinfo=LONDON)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def product(cell: Any) -> str | None:
    words = re.sub(r"\s\s+|[\t\n\r\f\v]", " ", text(cell) or "")
    return words[:255] or None


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def rounded(number: float | None) -> float | None:
    """Hundredths, counted; a half goes away from zero."""
    return None if number is None else float(Decimal(str(number)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def profile(row: Mapping[str, Any]) -> dict[str, Any]:
    """The profile of one row; raises Bad where the row is to be quarantined."""
    country = COUNTRIES[row["Country"]]
    first, last = utc(row["FirstOrder"]), utc(row["LastOrder"])
    shopping = present(
        {
            "average_order": rounded(row["AverageOrder"]),
            "total": row["Spend"],
            "orders": row["Orders"],
            "since": first and {"$time": first},
            "favourite": untrimmed(row["FavouriteProduct"]),
        }
    )
    custom = {
        "orders": row["Orders"],
        "items": row["Items"],
        "spend": rounded(row["Spend"]),
        "wholesale": row["Wholesale"],
        "first_order": first,
        "last_order": last,
        "last_order_day": row["LastOrder"] and row["LastOrder"][:10],
        "favourite_product": product(row["FavouriteProduct"]),
        "interests": [row["Interests"][key] for key in sorted(row["Interests"] or {}, key=int)] or None,
        "notes": (untrimmed(row["Notes"]) or "")[:255] or None,
        "source_system": "caspio",
        "shopping": shopping,
        "milestones": [
            {"kind": kind, **({"at": {"$time": at}} if at else {})}
            for kind, at in (("first_order", first), ("last_order", last))
            if at
        ],
    }
    standard = {
        "external_id": text(row["CustomerNo"]),
        "first_name": text(row["FirstName"]),
        "last_name": text(row["LastName"]),
        "email": email(row["Email"]),
        "phone": phone(row["Phone"], country),
        "country": country,
        "home_city": text(row["City"]),
        "language": language(row["Language"]),
        "gender": {"x": "O"}.get(text(row["Gender"]) or "", text(row["Gender"])),
        "dob": birth_date(row["BirthDate"]),
        "time_zone": zone(row["TimeZone"]),
    }
    return {
        **present(standard),
        "custom_attributes": present(custom),
        "email_subscribe": STATES.get(row["EmailConsent"]),
        "push_subscribe": PUSH.get(row["PushConsent"], "subscribed"),
        "subscription_groups": {
            NEWSLETTER: "subscribed" if row["Newsletter"] else "unsubscribed",
            SMS_OFFERS: "subscribed" if row["SmsOffers"] else "unsubscribed",
        },
    }


def expected_profiles(rows: Sequence[Mapping[str, Any]], arrivals: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every profile Braze must hold.

    Args:
        rows: the table, in PK_ID order: of two rows with one key the first has it, with the stricter consent of both.
        arrivals: keys in the order in which Braze took them. People who share an address or a number share the state
            that hangs on it, and the last one told is the one that holds (Braze, subscription groups).
    """
    profiles: dict[str, dict[str, Any]] = {}
    claimed: dict[str, str] = {}
    for row in rows:
        key = text(row["CustomerNo"])
        if key is None:
            continue
        if key.lower() in claimed:
            restrain(profiles.get(claimed[key.lower()]), row)
            continue
        claimed[key.lower()] = key
        try:
            profiles[key] = profile(row)
        except Bad:
            continue
    by_email: dict[str, str] = {}
    by_phone: dict[str, str] = {}
    states: dict[str, str] = {}
    for key in arrivals:
        if key not in profiles:
            continue  # an opt-out of somebody whom the gate keeps from being made
        told = profiles[key]
        if "email" in told:
            by_email[told["email"]] = told["subscription_groups"][NEWSLETTER]
            states[told["email"]] = told["email_subscribe"] or states.get(told["email"], "subscribed")
        if "phone" in told:
            by_phone[told["phone"]] = told["subscription_groups"][SMS_OFFERS]
    for told in profiles.values():
        groups = told["subscription_groups"]
        groups[NEWSLETTER] = by_email.get(told.get("email", ""), groups[NEWSLETTER])
        groups[SMS_OFFERS] = by_phone.get(told.get("phone", ""), groups[SMS_OFFERS])
        told["email_subscribe"] = states.get(told.get("email", ""), told["email_subscribe"] or "subscribed")
    return profiles


def restrain(told: dict[str, Any] | None, second: Mapping[str, Any]) -> None:
    """Make consent as strict as what a second row of the same key states."""
    if told is None:
        return
    states = {"email_subscribe": STATES.get(second["EmailConsent"]), "push_subscribe": PUSH.get(second["PushConsent"])}
    for name, state in states.items():
        if state is not None and RANKS[state] > RANKS[told[name] or "subscribed"]:
            told[name] = state
    for group, yes in ((NEWSLETTER, second["Newsletter"]), (SMS_OFFERS, second["SmsOffers"])):
        if not yes:
            told["subscription_groups"][group] = "unsubscribed"


def comparable(profiles: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Profiles without what Braze alone decides."""
    return {
        key: {name: value for name, value in profile.items() if name not in OF_BRAZE_ALONE}
        for key, profile in profiles.items()
    }

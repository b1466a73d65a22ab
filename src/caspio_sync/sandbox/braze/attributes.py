"""What becomes of attribute values once they are queued: standard fields (reference, section 3.3).

Nothing here is told to the sender: a value that does not fit is dropped in silence.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.dates import parse_instant

TEXT_CHARS = 255
IMAGE_URL_CHARS = 1024
STRUCTURAL = frozenset(
    {"external_id", "user_alias", "braze_id", "_update_existing_only", "_merge_objects", "push_token_import", "bio"}
)
"""Names that steer an object and are no attribute of the profile; `bio` is no longer processed."""


class _Dropped:
    """The value of an attribute that is not stored."""


DROPPED: Final = _Dropped()

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_RAILS_ZONES = {
    "Eastern Time (US & Canada)": "America/New_York",
    "Central Time (US & Canada)": "America/Chicago",
    "Mountain Time (US & Canada)": "America/Denver",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
}


def fit_text(value: object, long_strings: str) -> Any:
    """A string of at most 255 characters; what REST does with longer ones is not documented, hence a switch."""
    if type(value) is not str:
        return DROPPED
    if len(value) <= TEXT_CHARS:
        return value
    return value[:TEXT_CHARS] if long_strings == "truncate" else DROPPED


@cache
def _country_codes() -> dict[str, str]:
    import pycountry  # noqa: PLC0415 - read once, and only where a country is sent

    names: dict[str, str] = {}
    for country in pycountry.countries:
        for attribute in ("alpha_2", "name", "common_name", "official_name"):
            if name := getattr(country, attribute, None):
                names[name.lower()] = country.alpha_2
    return names


@lru_cache(maxsize=4096)
def country_code(value: str) -> str | None:
    """ISO 3166-1 alpha-2 of a code or an English name, None where nothing fits (Braze, standard attributes)."""
    return _country_codes().get(value.lower())


@cache
def language_codes() -> frozenset[str]:
    """The ISO 639-1 codes."""
    import pycountry  # noqa: PLC0415 - as above

    return frozenset(language.alpha_2 for language in pycountry.languages if hasattr(language, "alpha_2"))


@lru_cache(maxsize=4096)
def time_zone(value: str) -> str | None:
    """The IANA name, None for a zone that does not exist."""
    name = _RAILS_ZONES.get(value, value)
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError, ValueError):
        return None


@lru_cache(maxsize=65536)
def phone_is_valid(value: str) -> bool:
    """Whether libphonenumber finds the number valid; ten digits without `+` are read as US (Braze, phone numbers)."""
    import phonenumbers  # noqa: PLC0415 - a slow import that only numbers need

    try:
        number = phonenumbers.parse(normal_phone(value), "US")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(number))


def normal_phone(value: str) -> str:
    """Digits with a leading `+`, as numbers are compared."""
    digits = "".join(filter(str.isdigit, value))
    return f"+1{digits}" if len(digits) == 10 and not value.lstrip().startswith("+") else f"+{digits}"


def _of(kind: type, fits: Callable[[Any], Any] = lambda _: True) -> Callable[[Any], Any]:
    """Drops all but values of this very type that fit."""
    return lambda value: value if type(value) is kind and fits(value) else DROPPED


def _is_day(value: str) -> bool:
    try:
        return bool(_DAY.fullmatch(value) and date.fromisoformat(value))
    except ValueError:
        return False


def _country(value: object) -> Any:
    # A name that cannot be mapped is stored as null, which removes what stood there.
    return country_code(value) if type(value) is str else DROPPED


def _time_zone(value: object) -> Any:
    return (time_zone(value) or DROPPED) if type(value) is str else DROPPED


def standard_attributes(behaviour: BrazeBehaviour) -> dict[str, Callable[[Any], Any]]:
    """Name of each standard field that holds a plain value, and the function that fits or drops it.

    `email`, the subscription states and `current_location` act on more than their own value and stand in the store.
    """

    def text(value: object) -> Any:
        return fit_text(value, behaviour.long_strings)

    instant = _of(str, parse_instant)
    return {
        **dict.fromkeys(("first_name", "last_name", "home_city"), text),
        "phone": _of(str, len),  # invalid numbers are kept, only flagged
        "country": _country,
        "language": _of(str, lambda value: value in language_codes()),
        "dob": _of(str, _is_day),
        "gender": _of(str, {"M", "F", "O", "N", "P"}.__contains__),
        "time_zone": _time_zone,
        "image_url": _of(str, lambda value: len(value) <= IMAGE_URL_CHARS),
        **dict.fromkeys(("date_of_first_session", "date_of_last_session", "marked_email_as_spam_at"), instant),
        **dict.fromkeys(("email_open_tracking_disabled", "email_click_tracking_disabled"), _of(bool)),
        **dict.fromkeys(("facebook", "twitter"), _of(dict)),
        "push_tokens": lambda value: value,
    }

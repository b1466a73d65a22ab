"""Names of countries and languages as people type them, and the ISO code of each.

ISO's own lists (pycountry) say "Viet Nam" and "Korea, Republic of". A name is compared without case, accents, full
stops, brackets and a leading "the", and what the lists write with a comma is known either way round.
A name that two states bear has no code: a guess would call the wrong country.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

from caspio_sync.characters import trimmed
from caspio_sync.deferred import pycountry

_MORE_COUNTRIES = {
    "GB": "UK, Great Britain, Britain, England, Scotland, Wales, Northern Ireland",
    "US": "United States of America",
    "RU": "Russia",
    "TR": "Turkey",
    "CI": "Ivory Coast",
    "XK": "XK, XKX, Kosovo, Republic of Kosovo",
    "NL": "Holland",
    "IE": "Republic of Ireland",
    "MK": "Macedonia, FYROM",
    "AE": "UAE, Emirates",
    "KR": "South Korea",
    "KP": "North Korea",
    "CD": "DR Congo, DRC, Democratic Republic of Congo, Congo-Kinshasa",
    "CG": "Republic of Congo, Congo-Brazzaville",
    "VN": "Vietnam",
    "CZ": "Czech Republic",
    "MM": "Burma",
    "SZ": "Swaziland",
    "CV": "Cape Verde",
    "LA": "Laos",
    "SY": "Syria",
    "BN": "Brunei",
    "VA": "Vatican, Vatican City",
    "TL": "East Timor",
    "MO": "Macau",
    "BA": "Bosnia",
    "CN": "PRC",
    "SA": "KSA",
}
_MORE_LANGUAGES = {
    "el": "Greek",
    "zh": "Mandarin, Cantonese",
    "fa": "Farsi",
    "nl": "Flemish",
    "no": "Norwegian",
    "pa": "Punjabi",
    "ps": "Pashto",
    "sl": "Slovene",
    "bn": "Bangla",
    "ht": "Haitian Creole",
    "gd": "Gaelic, Scots Gaelic",
    "km": "Cambodian",
    "tl": "Filipino",
    "es": "Castilian",
    "or": "Odia",
    "my": "Myanmar",
}
# Two states that are called so; ISO's list alone would give the first.
_SHARED_NAMES = {"congo": ("CD", "CG"), "saint martin": ("MF", "SX")}


def country_code(value: str) -> str | None:
    """ISO 3166-1 alpha-2 code of a country's code or English name; None also for a name that two states bear."""
    codes = _countries().get(_plain(value), ())
    return codes[0] if len(codes) == 1 else None


def language_code(value: str) -> str | None:
    """ISO 639-1 code of a language's code (`en`, `eng`, `en-GB`) or English name."""
    word = trimmed(value).lower()
    tag = re.match(r"([a-z]{2,3})[-_]", word)
    return _languages().get(_plain(word)) or (_languages().get(tag[1]) if tag else None)


def two_countries(value: str) -> str | None:
    """What is wrong with a name that two states bear; None for any other."""
    codes = _countries().get(_plain(value), ())
    if len(codes) < 2:
        return None
    return f"names {' and '.join(map(_shown, codes))} alike; write which one, by its code or its full name"


def _shown(code: str) -> str:
    country = pycountry.countries.get(alpha_2=code)
    return f"{code} ({country.name})"


@cache
def _countries() -> dict[str, tuple[str, ...]]:
    """Every name and code, plain, and whose it is."""
    found: dict[str, set[str]] = {}
    for country in pycountry.countries:
        names = (getattr(country, each, None) for each in ("common_name", "official_name", "name"))
        for name in _forms(name for name in names if name is not None):
            found.setdefault(name, set()).add(country.alpha_2)
    for code, more in _MORE_COUNTRIES.items():
        found |= {_plain(name): {code} for name in more.split(", ")}
    # Codes last: nobody is called by them but the one.
    own = {code.lower(): {each.alpha_2} for each in pycountry.countries for code in (each.alpha_2, each.alpha_3)}
    shared = {name: set(codes) for name, codes in _SHARED_NAMES.items()}
    return {name: tuple(sorted(codes)) for name, codes in (found | own | shared).items()}


@cache
def _languages() -> dict[str, str]:
    words: dict[str, str] = {}
    for language in pycountry.languages:
        if (code := getattr(language, "alpha_2", None)) is None:
            continue
        words |= dict.fromkeys(_forms([language.name]), code)
        words |= {
            word: code for each in ("alpha_3", "bibliographic", "alpha_2") if (word := getattr(language, each, ""))
        }
    more = {_plain(name): code for code, names in _MORE_LANGUAGES.items() for name in names.split(", ")}
    return words | more


def _forms(names: Iterable[str]) -> Iterator[str]:
    """A list's name, plain; of `Korea, Republic of` also `republic of korea` and `korea`."""
    for name in names:
        yield _plain(name)
        short, comma, rest = re.sub(r"\(.*?\)", "", name).partition(", ")
        if comma:
            yield _plain(short)
            yield _plain(f"{rest} {short}")


def _plain(name: str) -> str:
    """How names are compared."""
    letters = unicodedata.normalize("NFKD", trimmed(name).lower())
    plain = "".join(sign for sign in letters if not unicodedata.combining(sign))
    plain = re.sub(r"\(.*?\)|\.", "", plain.replace("\u2019", "'").replace("&", " and "))
    plain = re.sub(r"^the\s+|^st\s+", lambda found: "" if found[0][0] == "t" else "saint ", " ".join(plain.split()))
    return trimmed(plain)

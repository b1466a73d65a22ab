"""Values that a table or a parser has to judge: resolved once per distinct value, remembered across batches."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import phonenumbers
import polars as pl
import pycountry

# Written internationally, only set apart by these, a number needs no parser: 26 µs each, and nearly all differ.
_SET_APART = r"^tel:|[\s\-./\u00a0]"
_INTERNATIONAL = r"^\+[0-9]{6,15}$"
_CALLING_CODES = "|".join(str(code) for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE, reverse=True))
_NUMBER_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
_REMEMBERED = 500_000
_SEPARATOR = "\x1f"

# The one two-letter code that is widely written and is not ISO's.
_MORE_COUNTRIES = {"uk": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB"}
_GENDERS = {
    "m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O", "n": "N", "not applicable": "N",
    "p": "P", "prefer not to say": "P",
}  # fmt: skip


class Lookup:
    """Resolves distinct values and remembers them.

    Args:
        resolve: a value to its resolved form, or None where it has none.
    """

    def __init__(self, resolve: Callable[[str], str | None]) -> None:
        self._resolve = resolve
        self._known: dict[str, str | None] = {}

    def __call__(self, values: pl.Series) -> pl.Series:
        """Resolved forms of a String series; null for null and for what has none."""
        distinct = values.drop_nulls().unique().to_list()
        if len(self._known) + len(distinct) > _REMEMBERED:
            self._known = {}
        # Kept in a local name: another thread may start a new one.
        known = self._known
        for value in distinct:
            if value not in known:
                known[value] = self._resolve(value)
        resolved = [known[value] for value in distinct]
        return values.replace_strict(distinct, resolved, default=None, return_dtype=pl.String)


class PhoneLookup:
    """Phone numbers in E.164: international ones by the numbering plan's own patterns, the rest by the parser."""

    def __init__(self) -> None:
        self._lookup = Lookup(_phone)

    def __call__(self, numbers: pl.Series, regions: pl.Series) -> pl.Series:
        """E.164 of each number; null for what is no valid number (libphonenumber's word).

        Args:
            numbers: as they were written, trimmed.
            regions: ISO alpha-2 codes, null where the country is not known.
        """
        frame = pl.DataFrame({"number": numbers, "region": regions})
        international = frame.select(_international()).to_series()
        pair = pl.concat_str(pl.col("region").fill_null(""), pl.lit(_SEPARATOR), pl.col("number"))
        answers = self._lookup(frame.select(pl.when(international.is_null()).then(pair)).to_series())
        return international.zip_with(international.is_not_null(), answers)


def _international() -> pl.Expr:
    """The number in E.164 where it is written internationally and valid; else null, for the parser to judge."""
    tidy = pl.col("number").str.replace_all(_SET_APART, "")
    written = pl.when(tidy.str.contains(_INTERNATIONAL)).then(tidy)
    return written.map_batches(_planned, return_dtype=pl.String)


def _planned(numbers: pl.Series) -> pl.Series:
    """The numbers that their calling code's plan knows; null for the others."""
    codes = numbers.str.extract(rf"^\+({_CALLING_CODES})")
    known = pl.Series([False]).new_from_index(0, len(numbers))
    for code in codes.drop_nulls().unique().to_list():
        places = (codes == code).arg_true()
        known = known.scatter(places, numbers.gather(places).str.contains(_plan(int(code))))
    return numbers.zip_with(known, pl.Series([None], dtype=pl.String).new_from_index(0, len(numbers)))


@cache
def _plan(code: int) -> str:
    """Pattern of the valid numbers under a calling code, of all kinds and all countries that share it."""
    patterns = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        plan = (
            phonenumbers.PhoneMetadata.metadata_for_nongeo_region(code)
            if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
            else phonenumbers.PhoneMetadata.metadata_for_region(region)
        )
        kinds = (getattr(plan, kind) for kind in _NUMBER_KINDS)
        patterns += [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return rf"^\+{code}(?:{'|'.join(patterns)})$"


def _phone(pair: str) -> str | None:
    region, _, number = pair.partition(_SEPARATOR)
    try:
        parsed = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def extended(resolve: Callable[[str], str | None], words: Mapping[str, str | None]) -> Callable[[str], str | None]:
    """A resolver that looks into `words` (lower case) first."""
    return lambda value: words[value.lower()] if value.lower() in words else resolve(value)


def country_code(value: str) -> str | None:
    """ISO 3166-1 alpha-2 code of a country's code or English name."""
    return _countries().get(value.strip().lower())


def language_code(value: str) -> str | None:
    """ISO 639-1 code of a language's code (`en`, `eng`, `en-GB`) or English name."""
    word = value.strip().lower()
    return _languages().get(word) or _languages().get(
        re.split(r"[-_]", word)[0] if re.match(r"^[a-z]{2,3}[-_]", word) else ""
    )


def gender_code(value: str) -> str | None:
    """M, F, O, N or P (Braze, user attributes object)."""
    return _GENDERS.get(value.strip().lower())


def time_zone_name(value: str) -> str | None:
    """The IANA name, in its own spelling."""
    return _time_zones().get(value.strip().lower())


@cache
def time_zone_names() -> frozenset[str]:
    """Every IANA time zone, from the tzdata package: the same on every machine."""
    text = files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(text.split()) - {"Factory"}


@cache
def _time_zones() -> dict[str, str]:
    return {name.lower(): name for name in time_zone_names()}


@cache
def _countries() -> dict[str, str]:
    words: dict[str, str] = {}
    for country in pycountry.countries:
        for attribute in ("common_name", "official_name", "name", "alpha_3", "alpha_2"):
            if (word := getattr(country, attribute, None)) is not None:
                words[word.lower()] = country.alpha_2
    return _MORE_COUNTRIES | words


@cache
def _languages() -> dict[str, str]:
    words: dict[str, str] = {}
    for language in pycountry.languages:
        if (code := getattr(language, "alpha_2", None)) is None:
            continue
        for attribute in ("name", "alpha_3", "bibliographic", "alpha_2"):
            if (word := getattr(language, attribute, None)) is not None:
                words[word.lower()] = code
    return words

"""Values that a table or a parser has to judge: resolved once per distinct value, remembered across batches."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import polars as pl

from caspio_sync.characters import trimmed
from caspio_sync.deferred import phonenumbers
from caspio_sync.text_columns import is_ascii

# Written internationally, only set apart by these, a number needs no parser: 26 µs each, and nearly all differ.
_SET_APART = r"^tel:|[\s\-./]"
_INTERNATIONAL = r"^\+[0-9]{6,15}$"
_NUMBER_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
_REMEMBERED = 500_000
_WORTH_A_PATTERN = 300
_SEPARATOR = "\x1f"


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
    """Phone numbers in E.164: international ones by the numbering plan's own patterns, the rest by the parser.

    The pattern of a calling code is made once hundreds of its numbers have come: it takes as long as parsing them.
    """

    def __init__(self) -> None:
        self._lookup = Lookup(_phone)
        self._seen: Counter[str] = Counter()  # international numbers by their calling code

    def __call__(self, numbers: pl.Series, regions: pl.Series) -> pl.Series:
        """E.164 of each number; null for what is no valid number (libphonenumber's word).

        Args:
            numbers: as they were written, trimmed.
            regions: ISO alpha-2 codes, null where the country is not known.
        """
        if not is_ascii(numbers):
            # Direction marks, as address books paste them, are no part of a number wherever they stand.
            numbers = numbers.str.replace_all(r"\p{Cf}", "")
        frame = pl.DataFrame({"number": numbers, "region": regions})
        international = frame.select(self._international()).to_series()
        pair = pl.concat_str(pl.col("region").fill_null(""), pl.lit(_SEPARATOR), pl.col("number"))
        answers = self._lookup(frame.select(pl.when(international.is_null()).then(pair)).to_series())
        return international.zip_with(international.is_not_null(), answers)

    def _international(self) -> pl.Expr:
        """The number in E.164 where it is written internationally and valid; else null, for the parser to judge."""
        tidy = pl.col("number").str.replace_all(_SET_APART, "")
        written = pl.when(tidy.str.contains(_INTERNATIONAL)).then(tidy)
        return written.map_batches(self._planned, return_dtype=pl.String)

    def _planned(self, numbers: pl.Series) -> pl.Series:
        """The numbers that their calling code's plan knows; null for the others, and for those of a rare code."""
        if not numbers.count():
            return numbers
        codes = numbers.str.extract(rf"^\+({_calling_codes()})")
        known = pl.Series([False]).new_from_index(0, len(numbers))
        for code, count in codes.drop_nulls().value_counts().iter_rows():
            self._seen[code] += count
            if self._seen[code] >= _WORTH_A_PATTERN:
                places = (codes == code).arg_true()
                known = known.scatter(places, numbers.gather(places).str.contains(_plan(int(code))))
        return numbers.zip_with(known, pl.Series([None], dtype=pl.String).new_from_index(0, len(numbers)))


@cache
def _calling_codes() -> str:
    return "|".join(str(code) for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE, reverse=True))


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


def time_zone_name(value: str) -> str | None:
    """The IANA name, in its own spelling."""
    return _time_zones().get(trimmed(value).lower())


@cache
def time_zone_names() -> frozenset[str]:
    """Every IANA time zone, from the tzdata package: the same on every machine."""
    text = files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(text.split()) - {"Factory"}


@cache
def _time_zones() -> dict[str, str]:
    return {name.lower(): name for name in time_zone_names()}

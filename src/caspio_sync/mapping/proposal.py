"""A first sync file for a table: guesses by field name and type, every one of them open to correction."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import yaml

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.consent_proposal import bare, groups_of, scopes_of
from caspio_sync.mapping.names import fault_in_name
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField

# Spellings met in customer tables, without blanks, signs and case, and the standard attribute that is meant.
_MEANT = MappingProxyType(
    {
        "firstname": "first_name", "forename": "first_name", "givenname": "first_name",
        "lastname": "last_name", "surname": "last_name", "familyname": "last_name",
        "email": "email", "emailaddress": "email", "mail": "email",
        "phone": "phone", "phonenumber": "phone", "mobile": "phone", "mobilephone": "phone", "cell": "phone",
        "country": "country", "countrycode": "country",
        "city": "home_city", "town": "home_city", "homecity": "home_city",
        "language": "language", "lang": "language", "gender": "gender", "sex": "gender",
        "birthdate": "dob", "birthday": "dob", "dateofbirth": "dob", "dob": "dob",
        "timezone": "time_zone", "imageurl": "image_url", "photourl": "image_url",
    }
)  # fmt: skip
_STATE = re.compile(r"consent|optin|subscri|newsletter|permission")
KEY_TYPES = frozenset({"STRING", "INTEGER", "AUTONUMBER", "PREFIXED AUTONUMBER", "GUID", "RANDOM ID"})
TEXTS = frozenset({"STRING", "TEXT"})
_BIRTH_TYPES = frozenset({"STRING", "DATE/TIME"})
NOTHING: Mapping[str, str] = MappingProxyType({})
# A proposal is a guess: no schedule may send it before a person has looked.
DISABLED = "enabled: false    # remove this line once it is right: then `deploy` and `serve` run it on a schedule"
LEFT_OUT = frozenset({"FILE", "ATTACHMENT", "TIMESTAMP"})


def propose_sync(
    name: str,
    table: str,
    fields: Sequence[CaspioField],
    *,
    time_zone: str | None = None,
    returned: Mapping[str, str] = NOTHING,
) -> str:
    """YAML text of a sync that can be read as it is, with comments on what to look at.

    Args:
        name: of the sync.
        table: of the source.
        fields: its fields, as Caspio declares them.
        time_zone: IANA zone of its wall clocks; None leaves it to a person.
        returned: columns that hold what Braze tells, and what that is: sent back, it would go round in a circle.

    Raises:
        ConfigurationError: no field can name a profile.
    """
    key = key_of(table, fields)
    states = [field for field in fields if field is not key and is_state(field)]
    rest = [field for field in fields if field is not key and field not in states]
    lines = [
        f"# {name}: rows of {table} → Braze user profiles. A proposal: read it line by line, then",
        f"# `caspio-sync check {name}` and `caspio-sync plan {name}`. Nothing leaves before `caspio-sync run {name}`.",
        "kind: profiles",
        DISABLED,
        "",
        "source:",
        f"  table: {quoted(table)}",
        *cursor(fields),
        zone_line(time_zone),
        "",
        "identity:",
        f"  external_id: {quoted(key.name)}    # {why(key)}",
        "  on_new: create    # or update_only: leave alone whom Braze does not know",
        "",
        "# Braze attribute: Caspio field. Remove what Braze need not know: every attribute sent is billed.",
        *_attributes(rest, returned),
        *_consent(states),
    ]
    return "\n".join(lines) + "\n"


def key_of(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    """The field that most likely names a person.

    Raises:
        ConfigurationError: none can.
    """
    candidates = [field for field in fields if field.type in KEY_TYPES]
    if not candidates:
        raise ConfigurationError(
            f"{table}: no field can name a profile; add a unique Text or Integer field to the table"
        )
    return max(candidates, key=lambda field: (field.unique, _names_a_person(field), -fields.index(field)))


def meant(field: CaspioField) -> str | None:
    """The standard attribute that the field's name speaks of; None for none."""
    return _MEANT.get(bare(field))


def _names_a_person(field: CaspioField) -> bool:
    return re.search(r"(?i)(?:id|no|nr|number|key|code)$", field.name) is not None and meant(field) is None


def why(key: CaspioField) -> str:
    """What to know of the field that was taken for the key."""
    return "unique in Caspio" if key.unique else "NOT unique in Caspio: two rows with one value would be held back"


def is_state(field: CaspioField) -> bool:
    """Whether the field seems to hold a subscription state."""
    return field.type in {"YES/NO", *TEXTS} and _STATE.search(bare(field)) is not None


def cursor(fields: Sequence[CaspioField]) -> Iterator[str]:
    """The line of `source:` about the cursor field."""
    stamps = [field for field in fields if field.type == "TIMESTAMP" and field.on_update]
    if stamps:
        yield f"  cursor: {quoted(stamps[0].name)}    # stamped on every update: a run reads what changed"
    else:
        yield "  # cursor: Field    # no TIMESTAMP with OnUpdate found: without one every run reads the whole table"


def zone_line(time_zone: str | None) -> str:
    """The line of `source:` about the wall clocks."""
    if time_zone is None:
        said = "SAY IT: the IANA zone of the wall clocks in Date/Time fields, which else are taken for UTC"
        return f"  # time_zone: Europe/London    # {said}"
    return (
        f"  time_zone: {time_zone}    # of the wall clocks in Date/Time fields; the zone of the table's Timestamp field"
    )


def _attributes(fields: Sequence[CaspioField], returned: Mapping[str, str]) -> Iterator[str]:
    written: set[str] = set()
    lines = []
    for field in fields:
        attribute = _attribute(field, written)
        if field.type in LEFT_OUT or field.type not in SOURCE_DTYPES:
            lines.append(f"  # {attribute}: {quoted(field.name)}    # {field.type}: rarely of use in messages")
            continue
        if field.name in returned:
            lines.append(f"  # {attribute}: {quoted(field.name)}    # comes from Braze: {returned[field.name]}")
            continue
        written.add(attribute.lower())
        lines.append(f"  {quoted(attribute)}: {_value(attribute, field, fields)}")
    yield "fields:" if written else "fields: {}"
    yield from lines


def _attribute(field: CaspioField, written: set[str]) -> str:
    standard = meant(field)
    fits = field.type in (_BIRTH_TYPES if standard == "dob" else TEXTS)
    if standard is not None and fits and standard not in written:
        return standard
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field.name)
    name = re.sub(r"\W+", "_", spaced).strip("_").lower()
    while fault_in_name(name) is not None or name in written or name == standard:
        name = f"caspio_{name}"
    return name


def _value(attribute: str, field: CaspioField, fields: Sequence[CaspioField]) -> str:
    country = next((other.name for other in fields if meant(other) == "country" and other.type in TEXTS), None)
    if attribute == "phone" and country is not None:
        return f"{{from: {quoted(field.name)}, transform: {{phone: {{from: {quoted(country)}}}}}}}"
    if attribute == "phone":
        return f"{{from: {quoted(field.name)}, transform: {{phone: US}}}}    # region of numbers without a country code"
    if field.type == "TEXT":
        return f"{{from: {quoted(field.name)}, transform: {{truncate: 255}}}}    # Braze takes 255 characters"
    return quoted(field.name)


def _consent(states: Sequence[CaspioField]) -> Iterator[str]:
    yield ""
    yield "# consent: states are opted_in, subscribed and unsubscribed; a Yes/No field needs no map."
    yield "# consent:"
    scopes = scopes_of(states)
    for scope, field in scopes.items():
        yield f"#   {scope}_subscribe: {quoted(field.name)}    # {field.type}"
    yield "#   subscription_groups:"
    for channel, field in groups_of(states, scopes):
        yield f"#     - {{id: <group id of Braze>, channel: {channel}, from: {quoted(field.name)}}}    # {field.type}"


def quoted(text: str) -> str:
    """As YAML writes it."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None and text.lower() not in {"null", "true", "false"}
    return text if plain else yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()

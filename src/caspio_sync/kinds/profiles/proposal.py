"""A first sync file for a table: guesses by field name and type, every one of them open to correction."""

import re
from collections.abc import Iterator, Mapping, Sequence

from caspio_sync import registry
from caspio_sync.kinds.profiles.faults import fault_in_name
from caspio_sync.mapping.consent_proposal import groups_of, scopes_of
from caspio_sync.mapping.guesses import NOTHING, TEXTS, address_of, is_state, key_of, meant
from caspio_sync.mapping.proposed_lines import DISABLED, LEFT_OUT, cursor, quoted, why, zone_line
from caspio_sync.mapping.values import ValueRules, rules_for
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField

_BIRTH_TYPES = frozenset({"STRING", "DATE/TIME"})


def propose_sync(
    name: str,
    table: str,
    fields: Sequence[CaspioField],
    *,
    time_zone: str | None = None,
    returned: Mapping[str, str] = NOTHING,
    destination: str = registry.DEFAULT_DESTINATION,
    **_: object,
) -> str:
    """YAML text of a sync that can be read as it is, with comments on what to look at.

    Args:
        name: of the sync.
        table: of the source.
        fields: its fields, as Caspio declares them.
        time_zone: IANA zone of its wall clocks; None leaves it to a person.
        returned: columns that hold what comes back, and what that is: sent again, it would go round in a circle.
        destination: where its rows are to go.

    Raises:
        ConfigurationError: no field can name a profile.
    """
    values = rules_for("profiles", destination)
    title = values.title
    by_address = "external_id" not in values.identities
    key = address_of(table, fields) if by_address else key_of(table, fields)
    states = [field for field in fields if field is not key and is_state(field)]
    rest = [field for field in fields if field is not key and field not in states]
    lines = [
        f"# {name}: rows of {table} → {title} user profiles. A proposal: read it line by line, then",
        f"# `caspio-sync check {name}` and `caspio-sync plan {name}`. Nothing leaves before `caspio-sync run {name}`.",
        "kind: profiles",
        *([] if destination == registry.DEFAULT_DESTINATION else [f"destination: {destination}"]),
        DISABLED,
        "",
        "source:",
        f"  table: {quoted(table)}",
        *cursor(fields),
        zone_line(time_zone),
        "",
        "identity:",
        f"  {'email' if by_address else 'external_id'}: {quoted(key.name)}    # {why(key)}",
        *_on_new(values),
        "",
        f"# {title} attribute: Caspio field. Remove what {title} need not know: what is sent may be billed.",
        *_attributes(rest, returned, values),
        *(_lists(states) if "lists" in values.states else _consent(states, title)),
    ]
    return "\n".join(lines) + "\n"


def _attributes(fields: Sequence[CaspioField], returned: Mapping[str, str], values: ValueRules) -> Iterator[str]:
    written: set[str] = set()
    lines = []
    for field in fields:
        attribute = _attribute(field, written, values)
        if field.type in LEFT_OUT or field.type not in SOURCE_DTYPES:
            lines.append(f"  # {attribute}: {quoted(field.name)}    # {field.type}: rarely of use in messages")
            continue
        if field.name in returned:
            lines.append(
                f"  # {attribute}: {quoted(field.name)}    # comes from {values.title}: {returned[field.name]}"
            )
            continue
        written.add(attribute.lower())
        lines.append(f"  {quoted(attribute)}: {_value(attribute, field, fields, values)}")
    yield "fields:" if written else "fields: {}"
    yield from lines


def _attribute(field: CaspioField, written: set[str], values: ValueRules) -> str:
    standard = meant(field)
    fits = field.type in (_BIRTH_TYPES if standard == "dob" else TEXTS)
    own = {_bare(each): each for each in values.standard}
    if standard is not None and (named := own.get(_bare(standard))) and fits and named.lower() not in written:
        return named
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field.name)
    name = re.sub(r"\W+", "_", spaced).strip("_").lower()
    while fault_in_name(name, values) is not None or name in written or name == standard:
        name = f"caspio_{name}"
    return name


def _value(attribute: str, field: CaspioField, fields: Sequence[CaspioField], values: ValueRules) -> str:
    country = next((other.name for other in fields if meant(other) == "country" and other.type in TEXTS), None)
    if attribute == "phone" and country is not None:
        return f"{{from: {quoted(field.name)}, transform: {{phone: {{from: {quoted(country)}}}}}}}"
    if attribute == "phone":
        return f"{{from: {quoted(field.name)}, transform: {{phone: US}}}}    # region of numbers without a country code"
    if field.type == "TEXT":
        chars = values.text_chars
        cut = f"{{from: {quoted(field.name)}, transform: {{truncate: {chars}}}}}"
        return f"{cut}    # {values.title} takes {chars} characters"
    return quoted(field.name)


def _bare(name: str) -> str:
    return name.replace("_", "").lower()


def _on_new(values: ValueRules) -> Iterator[str]:
    if "update_only" in values.on_new:
        yield f"  on_new: create    # or update_only: leave alone whom {values.title} does not know"


def _lists(states: Sequence[CaspioField]) -> Iterator[str]:
    yield ""
    yield "# lists: the name of a list, and the field with the consent to it: subscribed or unsubscribed."
    yield "# lists:"
    for field in states or [CaspioField("Field", "YES/NO")]:
        yield f"#   <name of a list>: {quoted(field.name)}    # {field.type}; a Yes/No field needs no map"


def _consent(states: Sequence[CaspioField], title: str) -> Iterator[str]:
    yield ""
    yield "# consent: states are opted_in, subscribed and unsubscribed; a Yes/No field needs no map."
    yield "# consent:"
    scopes = scopes_of(states)
    for scope, field in scopes.items():
        yield f"#   {scope}_subscribe: {quoted(field.name)}    # {field.type}"
    yield "#   subscription_groups:"
    for channel, field in groups_of(states, scopes):
        yield f"#     - {{id: <group id of {title}>, channel: {channel}, from: {quoted(field.name)}}}    # {field.type}"

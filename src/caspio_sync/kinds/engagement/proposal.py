"""A first sync file for what comes back: guesses by column name and type, all of them open to correction.

A run writes over what a guessed column holds. So a name must be understood as a whole: `EmailOpens` is taken,
`OpenOrders` is not.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from caspio_sync import registry
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.engagement.definition import FORMS, MEASURES, Form, is_of_frames
from caspio_sync.kinds.engagement.mapping import TAKES
from caspio_sync.mapping.consent_proposal import channel_of, groups_of, scopes_of
from caspio_sync.mapping.guesses import TEXTS, address_of, is_state, key_of, meant
from caspio_sync.mapping.proposed_lines import DISABLED, bare, quoted, why, zone_line
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import CaspioField

_PADDING = r"^(?:{}|total|numberof|has|is)|(?:date|at|on)$"
# What a name says without channel and padding, and the measures that may be meant, the likeliest first: the first one
# that the column's type takes is proposed. {} is the channel, e-mail where the name has none.
_MEANT = (
    (r"opens|opencount", ("{}_opens",)),
    (r"lastopen(?:ed)?", ("{}_last_open_at",)),
    (r"machineopens|machineopencount", ("{}_machine_opens",)),
    (r"clicks|clickcount|clicked", ("{}_clicks", "{}_last_click_at")),
    (r"lastclick(?:ed)?", ("{}_last_click_at",)),
    (r"delivered", ("{}_delivered",)),
    (r"(?:hard)?bounced?", ("hard_bounced_at",)),
    (r"bounces|bouncecount", ("{}_bounces",)),
    (r"(?:spam)?complaints?|complaintcount|complained|markedasspam", ("{}_complaints",)),
    (r"engaged(?:lately|30days)?", ("engaged_30_days", "last_engaged_at")),
    (r"lastengaged|lastengagement", ("last_engaged_at",)),
    (r"lastcampaign(?:name)?", ("last_campaign_name",)),
    (r"lastcampaignid", ("last_campaign_id",)),
    (r"(?:preferred|favou?rite)channel", ("preferred_channel",)),
)
# Words that mean a message beside a channel alone: shops are opened, parcels delivered.
_MEANT_OF_A_CHANNEL = (
    (r"open(?:ed)?", ("{}_opens", "{}_last_open_at")),
    (r"sent|sends|sentcount", ("{}_sent",)),
    (r"delivered|deliveries|deliverycount", ("{}_delivered", "{}_last_delivered_at")),
    (r"lastdelivered|lastdelivery", ("{}_last_delivered_at",)),
)
_OWN_NAMES = MappingProxyType({measure.replace("_", ""): measure for measure in MEASURES})

# Worth a column where the table has none. Hard bounces are known without Currents.
_WORTH = (
    CaspioField("HardBounced", "YES/NO"),
    CaspioField("MarkedAsSpam", "YES/NO"),
    CaspioField("EngagedLately", "YES/NO"),
    CaspioField("LastOpened", "DATE/TIME"),
    CaspioField("LastClicked", "DATE/TIME"),
    CaspioField("EmailOpens", "STRING"),
    CaspioField("EmailClicks", "STRING"),
    CaspioField("LastCampaign", "STRING"),
    CaspioField("PreferredChannel", "STRING"),
)
_WITHOUT_CURRENTS = (
    "# Without Currents (a paid feature of {}) there are hard bounces, unsubscribes, subscription states.",
    "# Opens, clicks and deliveries come by Currents alone: until its first post such columns stay as they are.",
)
_WITHOUT_WEBHOOKS = (
    "# Without webhooks there are hard bounces, and opt-outs of lists. Opens and clicks come by webhooks alone: until",
    "# the first one such columns stay as they are.",
)
_CAMPAIGNS = "# campaign_stats: {table: CampaignStats, create: true}    # counts of each campaign, day and channel"
_SPOKEN = MappingProxyType({"YES/NO": "Yes/No", "DATE/TIME": "Date/Time", "STRING": "Text (255)"})


def propose_engagement(
    name: str,
    table: str,
    fields: Sequence[CaspioField],
    *,
    time_zone: str | None = None,
    destination: str = registry.DEFAULT_DESTINATION,
    **_: object,
) -> str:
    """YAML text of a sync that can be read as it is, with comments on what to look at.

    Args:
        name: of the sync.
        table: that is read and written.
        fields: its fields, as Caspio declares them.
        time_zone: IANA zone of its wall clocks; None leaves it to a person.
        destination: what tells of people.

    Raises:
        ConfigurationError: no field can name a person, or none seems made for what comes back.
    """
    values = rules_for("engagement", destination)
    title, knows_keys, by_list = values.title, "external_id" in values.identities, "lists" in values.states
    key = (key_of if knows_keys else address_of)(table, fields)
    address = next((each for each in fields if each is not key and meant(each) == "email" and each.type in TEXTS), None)
    columns = [each for each in fields if each is not key and each is not address and _takes_values(each)]
    states = _states(columns)
    guesses = _guesses(columns, states)
    scopes = {} if by_list else scopes_of(states)
    if not guesses and not any(each.type == "YES/NO" for each in scopes.values()):
        worth = ", ".join(f"{each.name} ({_SPOKEN[each.type]})" for each in _WORTH)
        raise ConfigurationError(
            f"{table}: no column seems made for what {title} tells; add some in Caspio, such as {worth}, and try again"
        )
    lines = [
        f"# {name}: what {title} learns of people → their rows of {table}. A proposal: a run WRITES OVER what these",
        f"# columns hold. Read it line by line, then `caspio-sync check {name}` and `caspio-sync plan {name}`.",
        f"# Nothing is written before `caspio-sync run {name}`.",
        "#",
        *(each.format(title) for each in (_WITHOUT_WEBHOOKS if by_list else _WITHOUT_CURRENTS)),
        "kind: engagement",
        *([] if destination == registry.DEFAULT_DESTINATION else [f"destination: {destination}"]),
        DISABLED,
        "",
        "source:",
        f"  table: {quoted(table)}",
        zone_line(time_zone),
        "",
        "identity:",
        f"  {'external_id' if knows_keys else 'email'}: {quoted(key.name)}    # {why(key)}",
        *([f"  email: {quoted(address.name)}    # finds those whom the id does not"] if address and knows_keys else []),
        "",
        *_fields(fields, guesses, title),
        "",
        *(_lists(states, title) if by_list else _consent(states, scopes, title)),
        *(["", _CAMPAIGNS] if "campaign_stats" in values.told else []),
    ]
    return "\n".join(lines) + "\n"


def returned_columns(fields: Sequence[CaspioField]) -> dict[str, str]:
    """The columns that by their names hold what comes back of people, and what: its measure."""
    columns = [each for each in fields if meant(each) is None and _takes_values(each)]
    return {name: measure for name, (measure, _) in _guesses(columns, _states(columns)).items()}


def _states(columns: Sequence[CaspioField]) -> list[CaspioField]:
    # Of a yes that means no (Unsubscribed) a map has to say so: that is left to a person.
    return [each for each in columns if is_state(each) and "unsub" not in bare(each)]


def _guesses(columns: Sequence[CaspioField], states: Sequence[CaspioField]) -> dict[str, tuple[str, Form]]:
    return {each.name: guess for each in columns if each not in states and (guess := _guess(each)) is not None}


def _takes_values(field: CaspioField) -> bool:
    """Whether many rows may be given one value: not where Caspio computes it, or keeps it unique."""
    return field.editable and not field.is_formula and not field.unique and not is_of_frames(field.name)


def _guess(field: CaspioField) -> tuple[str, Form] | None:
    """The measure that a column's name suggests and its type takes, in the coarsest form."""
    for measure in _suggested(field):
        for form in FORMS[MEASURES[measure]]:
            # Long text is what people write, no place for a 2-4.
            prose = field.type == "TEXT" and form == "bucket"
            if field.type in TAKES[MEASURES[measure], form] and not prose:
                return measure, form
    return None


def _suggested(field: CaspioField) -> Iterator[str]:
    if (measure := _OWN_NAMES.get(bare(field))) is not None:
        yield measure
    channel, rest = channel_of(field)
    said = re.sub(_PADDING.format(rules_for("engagement").title.lower()), "", rest)
    for pattern, measures in _MEANT if channel is None else (*_MEANT, *_MEANT_OF_A_CHANNEL):
        if re.fullmatch(pattern, said):
            # A measure without a channel is of e-mail, or of all channels.
            yield from (
                each.format(channel or "email") for each in measures if channel in {"email", None} or "{}" in each
            )


def _fields(fields: Sequence[CaspioField], guesses: Mapping[str, tuple[str, Form]], title: str) -> Iterator[str]:
    yield "# Column: what it holds, the most important first. Coarse unless said otherwise: a date, a bucket (2-4)."
    yield "fields:" if guesses else "# fields:"
    for column, guess in guesses.items():
        yield f"  {quoted(column)}: {_value(*guess)}"
    aside = "  # " if guesses else "#   "
    there = {each.name.lower() for each in fields}
    for each in _WORTH:
        name, wanted = each.name, _guess(each)
        assert wanted is not None
        while name.lower() in there:  # of a type that does not take it, or read-only
            name = f"{title}{name}"
        if wanted[0] not in {measure for measure, _ in guesses.values()}:
            remedy = f"add a {_SPOKEN[each.type]} field {name} in Caspio, then uncomment"
            yield f"{aside}{name}: {_value(*wanted)}    # {remedy}"


def _value(measure: str, form: Form) -> str:
    coarse = FORMS[MEASURES[measure]][0]
    return measure if form == coarse else f"{{measure: {measure}, as: {form}}}"


def _lists(states: Sequence[CaspioField], title: str) -> Iterator[str]:
    """Of which list a column is, only a person knows."""
    yield f"# The states of people on lists of {title}, by the list's name. A Yes/No field needs no map; on the left of"
    yield "# a map stand the words of the column, such as yes and no, and a row with another word is held."
    yield "# consent:"
    yield "#   profiles: NAME    # the profile sync of these columns: where Caspio wins, it sends the state again"
    yield "#   lists:"
    for field in states or [CaspioField("Field", "YES/NO")]:
        words = "" if field.type == "YES/NO" else ", map: {WORD: subscribed, WORD: unsubscribed}"
        yield f"#     LIST: {{column: {quoted(field.name)}{words}}}    # {field.type}"


def _consent(states: Sequence[CaspioField], scopes: Mapping[str, CaspioField], title: str) -> Iterator[str]:
    """A Yes/No field says what it means; of words only a person knows which stand for which state."""
    clear = {scope: field for scope, field in scopes.items() if field.type == "YES/NO"}
    yield "# The states are opted_in, subscribed and unsubscribed; a Yes/No field needs no map. On the left of a map"
    yield "# stand the words of the column, such as yes and no; a row with another word is held."
    yield "consent:" if clear else "# consent:"
    aside = "  # " if clear else "#   "
    for scope, field in {**clear, **scopes}.items():
        before = "  " if scope in clear else aside
        yield f"{before}{scope}_subscribe:"
        yield f"{before}  column: {quoted(field.name)}    # {field.type}"
        if scope not in clear:
            yield f"{before}  map: {{WORD: subscribed, WORD: opted_in, WORD: unsubscribed}}"
    yield f"{aside}profiles: NAME    # the profile sync of these columns: where Caspio wins, it sends the state again"
    yield f"{aside}subscription_groups:"
    for channel, field in groups_of(states, scopes):
        group = f"{{id: <group id of {title}>, channel: {channel}, column: {quoted(field.name)}}}"
        yield f"{aside}  - {group}    # {field.type}"

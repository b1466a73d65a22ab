"""The definition of an engagement return: what `syncs/<name>.yaml` of `kind: engagement` may say.

Without Currents (Braze, 8) there are bounces, unsubscribes, subscription states, and what `/users/export/ids`
tells of single profiles. Opens, clicks and deliveries come by Currents alone: columns made of them stay as they are
until its first post.
"""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from caspio_sync.characters import trimmed
from caspio_sync.mapping.alias import Alias
from caspio_sync.mapping.consent import LIST_PREFIX, Consent, GlobalState, group_id
from caspio_sync.mapping.definition import Claim, Gate, OtherSync, Sync
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import AsTuple, FieldName, Strict
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import Channel

CHANNELS = ("email", "push", "sms", "whatsapp", "in_app", "content_card")
_COUNTS = ("sent", "delivered", "opens", "machine_opens", "clicks", "bounces", "complaints")
_TIMES = ("first_at", "last_open_at", "last_click_at", "last_delivered_at")

MeasureKind = Literal["count", "time", "text", "flag"]
# What is known of a person, by its name in the folded state, and what kind of value it is.
MEASURES: Mapping[str, MeasureKind] = MappingProxyType(
    {
        **{f"{channel}_{count}": "count" for channel in CHANNELS for count in _COUNTS},
        **{f"{channel}_{time}": "time" for channel in CHANNELS for time in _TIMES},
        "last_engaged_at": "time",
        "hard_bounced_at": "time",
        "last_campaign_id": "text",
        "last_campaign_name": "text",
        "preferred_channel": "text",
        "engaged_30_days": "flag",
    }
)
# The coarse form of each kind comes first, and is what is written unless the file says otherwise.
Form = Literal["date", "exact", "bucket", "flag", "text"]
FORMS: Mapping[MeasureKind, tuple[Form, ...]] = MappingProxyType(
    {"count": ("bucket", "exact", "flag"), "time": ("date", "exact", "flag"), "text": ("text",), "flag": ("flag",)}
)

# `braze_wins` is what `destination_wins` was called when there was no other.
Policy = Literal["most_restrictive", "newest", "caspio_wins", "destination_wins", "braze_wins"]


def _states(given: Any) -> Any:
    """Words of the column as they are written; two that differ only by case would be one when read."""
    if isinstance(given, dict):
        words = {trimmed(str(word)): state for word, state in given.items()}
        if len({word.lower() for word in words}) < len(given):
            raise ValueError("two entries differ only by case or blanks, which are not compared; keep one")
        return words
    return given


class WrittenField(Strict):
    """A column of the Caspio table, and what of a person's engagement it holds.

    Args:
        measure: what is known of a person, such as email_last_open_at.
        form: `as`: coarse unless said otherwise: a time as its date, a count as its bucket. `exact` costs a call for
            nearly every row, since one call gives one set of values.
    """

    measure: str
    form: Form | None = Field(default=None, alias="as")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any) -> Any:
        return {"measure": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.measure not in MEASURES:
            raise ValueError(f"'{self.measure}' is nothing that is known of a person; there are: {', '.join(MEASURES)}")
        forms = FORMS[MEASURES[self.measure]]
        if self.form is not None and self.form not in forms:
            raise ValueError(f"'{self.measure}' cannot be written as '{self.form}'; write {' or '.join(forms)}")
        return self

    @property
    def written_as(self) -> Form:
        """`as`, or the coarse form."""
        return self.form or FORMS[MEASURES[self.measure]][0]


class ConsentColumn(Strict):
    """A column with a subscription state.

    Args:
        column: the Caspio field, Yes/No or text.
        map: the column's words and the states they stand for, as in the profile sync; the first word of a state is the
            one that is written. Yes/No fields need none.
        conflict: who wins where both sides changed it since they last agreed.
        changed_at: a Date/Time or Timestamp field that says when the column changed; `newest` goes by it. Without it,
            by when a run first saw the change.
    """

    column: FieldName
    map: Annotated[dict[str, GlobalState | None], BeforeValidator(_states)] | None = None
    conflict: Policy = "most_restrictive"
    changed_at: FieldName | None = None

    @model_validator(mode="after")
    def _can_opt_out(self) -> Self:
        if self.map is not None and "unsubscribed" not in self.map.values():
            raise ValueError("`map` has no word for unsubscribed, so that no opt-out could be written; add one")
        return self


class GroupColumn(ConsentColumn):
    """A column with the state of a subscription group."""

    id: Annotated[str, AfterValidator(group_id)]
    channel: Channel


class ListColumn(ConsentColumn):
    """A column with the state on a list; nobody is `opted_in` to one."""

    @model_validator(mode="after")
    def _no_double(self) -> Self:
        if self.map is not None and "opted_in" in self.map.values():
            raise ValueError(
                "`map` says opted_in, and a list knows subscribed and unsubscribed alone; write subscribed"
            )
        return self


class ReturnedConsent(Strict):
    """Subscription states, the columns they are kept in, and who wins.

    Args:
        email_subscribe: the global e-mail state.
        push_subscribe: the global push state.
        subscription_groups: one a group.
        lists: one a list of the destination, by the list's name.
        profiles: name of the profile sync that sends these columns: where Caspio wins, it is told to send
            the state again.
        own_sources: sources of a state change that are no news: what we set ourselves comes back as REST API.
    """

    email_subscribe: ConsentColumn | None = None
    push_subscribe: ConsentColumn | None = None
    subscription_groups: Annotated[tuple[GroupColumn, ...], AsTuple] = ()
    lists: Mapping[str, ListColumn] = Field(default_factory=dict)
    profiles: OtherSync | None = None
    own_sources: Annotated[tuple[str, ...], AsTuple] = ("REST API",)

    @property
    def states(self) -> dict[str, ConsentColumn]:
        """The columns by the scope under which the state there is known: email, push, the group's id, lists.<name>."""
        named = {"email": self.email_subscribe, "push": self.push_subscribe}
        states: dict[str, ConsentColumn] = {scope: state for scope, state in named.items() if state is not None}
        states |= {group.id: group for group in self.subscription_groups}
        return states | {f"{LIST_PREFIX}{name}": state for name, state in self.lists.items()}

    def place(self, scope: str) -> Location:
        """Where the file speaks of a scope."""
        if scope in {"email", "push"}:
            return ("consent", f"{scope}_subscribe")
        if scope.startswith(LIST_PREFIX):
            return ("consent", "lists", scope.removeprefix(LIST_PREFIX))
        ids = [group.id for group in self.subscription_groups]
        return ("consent", "subscription_groups", ids.index(scope))

    def attribute(self, scope: str) -> str:
        """The scope's column in a profile sync's mapping."""
        if scope.startswith(LIST_PREFIX):
            return scope
        return f"{scope}_subscribe" if scope in {"email", "push"} else f"subscription_groups.{scope}"


class PersonIdentity(Strict):
    """The Caspio fields by which people are found: the external id, else an alias, else the e-mail address."""

    external_id: FieldName | None = None
    user_alias: Alias | None = None
    email: FieldName | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.external_id is None and self.user_alias is None and self.email is None:
            raise ValueError("names nobody; write `external_id`, `user_alias` or `email`, or several of them")
        return self

    @property
    def kind(self) -> Literal["external_id", "user_alias", "email"]:
        """What names a row in reports: the first that is given."""
        if self.external_id is not None:
            return "external_id"
        return "user_alias" if self.user_alias is not None else "email"

    @property
    def source_field(self) -> str:
        """The Caspio field that holds it."""
        return self.external_id or (self.user_alias.name if self.user_alias else None) or self.email or ""

    @property
    def label(self) -> str | None:
        """The alias label; None for the other kinds."""
        return self.user_alias.label if self.kind == "user_alias" and self.user_alias else None

    @property
    def on_new(self) -> str:
        """Rows are never made: people whom Caspio does not know wait until it does."""
        return "wait"


class EngagementGate(Gate):
    """When nothing is written, besides what holds for every kind of sync.

    Args:
        max_consent_share: share of all customers whose consent one run may change in Caspio.
        max_consent_rows: so many may, whatever the share.
    """

    max_consent_share: float = Field(default=0.05, ge=0, le=1)
    max_consent_rows: int = Field(default=20, ge=0)


class CampaignStats(Strict):
    """A table of its own with the counts of each campaign, day and channel.

    Args:
        table: its name.
        create: make it where there is none; the profile needs the right to create objects.
        days: how far back counts are looked at again: late events change the past.
    """

    table: FieldName
    create: bool = False
    days: int = Field(default=14, ge=1, le=366)


class EngagementSync(Sync):
    """What a destination learned of people, written back into their Caspio rows.

    Args:
        kind: always "engagement".
        source: the table with the people: read to find them, and written.
        identity: how people are found in it.
        fields: column → what it holds, the most important first.
        returned: `consent`: subscription states.
        campaign_stats: a table of campaigns.
        calls_per_run: writes a run makes at most: the most important columns first, the rest is left to the next run.
        people_per_run: so many people's states are asked for in a run, in turn, 50 a request: what tells of groups
            and push without Currents. It asks for those that the profile sync (`consent: profiles`) has sent.
        gate: limits and expectations.
    """

    kind: Literal["engagement"]
    identity: PersonIdentity
    fields: Mapping[str, WrittenField] = Field(default_factory=dict)  # type: ignore[assignment]
    returned: ReturnedConsent = Field(default=ReturnedConsent(), alias="consent")
    campaign_stats: CampaignStats | None = None
    calls_per_run: int | None = Field(default=None, ge=1)
    people_per_run: int = Field(default=5000, ge=0, le=100_000)
    gate: EngagementGate = EngagementGate()
    on_missing: Literal["keep"] = "keep"

    @property
    def key_place(self) -> Location:
        """As `Sync.key_place`."""
        return ("identity", self.identity.kind)

    @property
    def present_where(self) -> None:
        """As `Sync.present_where`."""
        return

    def claims(self) -> dict[Claim, str]:
        """As `Sync.claims`: columns, and the campaigns' table. Caspio tells them apart without case."""
        table = self.source.name.lower()
        claimed: dict[Claim, str] = {("column", table, column.lower()): column for column in self.columns}
        if self.campaign_stats is not None:
            claimed["rows", self.campaign_stats.table.lower()] = self._table_of_campaigns
        return claimed

    def without(self, names: Collection[str]) -> Self:
        """As `Sync.without`."""
        returned, given = self.returned, self.campaign_stats
        fields = {name: field for name, field in self.fields.items() if name not in names}
        groups = tuple(each for each in returned.subscription_groups if each.column not in names)
        states = {"email_subscribe": returned.email_subscribe, "push_subscribe": returned.push_subscribe}
        gone = {name: None for name, state in states.items() if state is not None and state.column in names}
        lists = {name: each for name, each in returned.lists.items() if each.column not in names}
        left = returned.model_copy(update={"subscription_groups": groups, "lists": lists, **gone})
        stats = None if given is not None and self._table_of_campaigns in names else given
        return self.model_copy(update={"fields": fields, "returned": left, "campaign_stats": stats})

    @property
    def _table_of_campaigns(self) -> str:
        return f"table {self.campaign_stats.table}" if self.campaign_stats else ""

    def columns_back(self) -> dict[str, str]:
        """As `Sync.columns_back`: columns of measures."""
        return {column: each.measure for column, each in self.fields.items()}

    def roles(self) -> dict[str, str]:
        """As `Sync.roles`: what each field holds of what comes back, or finds the row by."""
        finds = {field: f"{kind} (finds the row)" for kind, field in self.identity if field is not None}
        states = {each.column: self.returned.attribute(scope) for scope, each in self.returned.states.items()}
        measures = {column: f"{each.measure} as {each.written_as}" for column, each in self.fields.items()}
        return finds | states | measures

    @property
    def consent(self) -> Consent:
        """What would be sent: nothing."""
        return Consent()

    @property
    def erasure(self) -> None:
        """Whom to erase is the profile sync's matter."""
        return

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is written, the most important first: consent, bounces and complaints, then the others."""
        consent = [state.column for state in self.returned.states.values()]
        urgent = [name for name, field in self.fields.items() if _is_urgent(field)]
        return tuple(dict.fromkeys([*consent, *urgent, *self.fields]))

    @property
    def exact(self) -> tuple[str, ...]:
        """Columns whose value is nearly everybody's own."""
        return tuple(name for name, field in self.fields.items() if field.written_as == "exact")

    def needed_fields(self) -> Iterator[tuple[str, str]]:
        """As `Sync.needed_fields`."""
        for state in self.returned.states.values():
            yield state.column, "a consent state (consent)"
            if state.changed_at is not None:
                yield state.changed_at, "the time of a consent state (consent: changed_at)"

    def contradictions(self) -> Iterator[tuple[Location, str]]:
        """As `Sync.contradictions`."""
        if self.source.view is not None:
            yield ("source", "view"), "a view is not written; name the table below it"
        if self.source.cursor is not None:
            title = rules_for(self.kind, self.destination).title
            text = (
                f"what {title} learns is stamped nowhere in Caspio: an engagement return reads all rows (a call for "
                "each thousand); remove `cursor`"
            )
            yield ("source", "cursor"), text
        if not self.columns and self.campaign_stats is None:
            yield ("kind",), "writes nothing; name a column under `fields` or `consent`, or `campaign_stats`"
        states = self.returned.states
        groups = [each.id for each in self.returned.subscription_groups]
        if len(set(groups)) < len(groups):
            yield ("consent", "subscription_groups"), "a subscription group stands twice; keep one"
        taken: dict[str, str] = {self.identity.source_field.lower(): "the key"}
        if self.identity.email is not None:
            taken.setdefault(self.identity.email.lower(), "the address")
        written = [(self.returned.place(scope), state.column) for scope, state in states.items()]
        written += [(("fields", name), name) for name in self.fields]
        for at, column in written:
            if is_of_frames(column):
                yield at, f"'{column}' is a name that the sync's own frames use; rename the field in Caspio"
            if (use := taken.get(column.lower())) is not None:
                yield at, f"'{column}' is {use} already; a column holds one thing"
            taken[column.lower()] = "written"

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its columns: what makes keys alone."""
        identity = self.identity if field is None else PersonIdentity(external_id=field)
        bare = {"identity": identity, "fields": {}, "returned": ReturnedConsent(), "campaign_stats": None}
        return self.model_copy(update=bare)

    def only(self, field: str) -> Self:
        """As `Sync.only`."""
        return self.model_copy(update={"fields": {field: self.fields[field]}, "returned": ReturnedConsent()})


_OF_FRAMES = frozenset({"source_pk", "key", "email", "alias_name", "problems", "fp", "key_hash", "fields", "changed"})


def is_of_frames(column: str) -> bool:
    """Whether the sync's own frames use the name, so that no column of it can be written."""
    return column in _OF_FRAMES or column.startswith("_")


def _is_urgent(field: WrittenField) -> bool:
    return field.measure == "hard_bounced_at" or field.measure.endswith(("_bounces", "_complaints"))

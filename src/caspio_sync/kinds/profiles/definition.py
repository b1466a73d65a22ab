"""The definition of a profile sync: what `syncs/<name>.yaml` of `kind: profiles` may say."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from caspio_sync.mapping.automations import AUTOMATION_PREFIX, Enrolment
from caspio_sync.mapping.consent import LIST_PREFIX, Consent, ListState
from caspio_sync.mapping.definition import Claim, Sync
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.erasure import Erasure
from caspio_sync.mapping.identity import Identity
from caspio_sync.mapping.segments import SEGMENT_PREFIX, OnList, Segment
from caspio_sync.mapping.tags import FROM, PREFIX, TAG_PREFIX, WORDS_PREFIX, TagEntry, TagRule

_NOTHING_ELSE: Mapping[str, Any] = MappingProxyType({"consent": Consent(), "lists": {}, "tags": {}, "automations": {}})


class ProfileSync(Sync):
    """A sync of Caspio rows to user profiles.

    Args:
        kind: always "profiles".
        source: table or view, paging, cursor, condition, time zone.
        identity: what names a profile.
        fields: attribute → where it comes from, in the order of the file.
        consent: subscription states.
        lists: the state on each list of the destination, or who is on it, by the list's name.
        tags: who bears a tag of the destination, by its name; `from` and `prefix`: a list field whose words are tags.
        automations: who enters an automation of the destination, by its name.
        batch_size: rows extracted, compared, gated and sent together.
        gate: limits and expectations.
        on_missing: what happens to profiles whose row is gone: they are kept.
        erasure: whom to erase before anything is sent.
        schedule: cron line for deployments.
    """

    kind: Literal["profiles"]
    identity: Identity
    consent: Consent = Consent()
    lists: Mapping[str, OnList] = Field(default_factory=dict)
    tags: Mapping[str, TagEntry] = Field(default_factory=dict)
    automations: Mapping[str, Enrolment] = Field(default_factory=dict)
    on_missing: Literal["keep"] = "keep"
    erasure: Erasure | None = None

    @model_validator(mode="after")
    def _sends_something(self) -> Self:
        said = (self.fields, self.consent.columns, self.lists, self.tags, self.automations)
        if not any(said):
            raise ValueError("maps nothing; name at least one attribute under `fields` or a state under `consent`")
        return self

    @property
    def key_place(self) -> Location:
        """As `Sync.key_place`."""
        return ("identity", self.identity.kind)

    @property
    def people(self) -> Identity:
        """As `Sync.people`."""
        return self.identity

    @property
    def present_where(self) -> None:
        """As `Sync.present_where`: a profile stays whose row the condition leaves out."""
        return

    def claims(self) -> dict[Claim, str]:
        """As `Sync.claims`: attributes, consent, tags and automations."""
        place = ("profiles", self.destination, self.identity.kind, self.identity.label or "")
        names = (*self.fields, *self.consent.columns, *self.list_columns, *self.tag_columns, *self.tag_words)
        names = (*names, *self.automation_columns)
        claims: dict[Claim, str] = {(*place, name): name for name in names}
        for name in self.segment_columns:  # a list is one thing, whoever says who is on it
            claims[*place, f"{LIST_PREFIX}{name.removeprefix(SEGMENT_PREFIX)}"] = name
        return claims

    @property
    def list_columns(self) -> dict[str, ListState]:
        """Columns of the mapped frame with the states on lists."""
        return {f"{LIST_PREFIX}{name}": state for name, state in self.lists.items() if isinstance(state, ListState)}

    @property
    def segment_columns(self) -> dict[str, Segment]:
        """Columns of the mapped frame that say who is on a list by a condition."""
        return {f"{SEGMENT_PREFIX}{name}": rule for name, rule in self.lists.items() if isinstance(rule, Segment)}

    @property
    def tag_columns(self) -> dict[str, TagRule]:
        """Columns of the mapped frame that say who bears a tag."""
        return {f"{TAG_PREFIX}{name}": rule for name, rule in self.named_tags.items()}

    @property
    def named_tags(self) -> dict[str, TagRule]:
        """Tags that follow conditions."""
        return {name: rule for name, rule in self.tags.items() if isinstance(rule, TagRule)}

    @property
    def tag_words(self) -> dict[str, str]:
        """The column of the mapped frame whose words are tags, and its field; empty where there is none."""
        field, prefix = self.tags.get(FROM), self.tags.get(PREFIX)
        return {f"{WORDS_PREFIX}{prefix}": field} if isinstance(field, str) and isinstance(prefix, str) else {}

    @property
    def automation_columns(self) -> dict[str, Enrolment]:
        """Columns of the mapped frame that say who enters an automation."""
        return {f"{AUTOMATION_PREFIX}{name}": rule for name, rule in self.automations.items()}

    @property
    def required_states(self) -> tuple[str, ...]:
        """As `Sync.required_states`."""
        return (*self.consent.required, *(name for name, state in self.list_columns.items() if state.required))

    @property
    def decided_states(self) -> tuple[str, ...]:
        """As `Sync.decided_states`: lists that are segments."""
        return tuple(f"{LIST_PREFIX}{name.removeprefix(SEGMENT_PREFIX)}" for name in self.segment_columns)

    def without(self, names: Collection[str]) -> Self:
        """As `Sync.without`."""
        fields = {name: field for name, field in self.fields.items() if name not in names}
        groups = tuple(each for each in self.consent.subscription_groups if each.column not in names)
        states = {name: None for name in ("email_subscribe", "push_subscribe") if name in names}
        require = tuple(each for each in self.consent.required if each not in names)
        left = self.consent.model_copy(update={"subscription_groups": groups, "require": require, **states})
        lists = {
            name: rule
            for name, rule in self.lists.items()
            if not {f"{LIST_PREFIX}{name}", f"{SEGMENT_PREFIX}{name}"} & set(names)
        }
        tags = {
            name: rule
            for name, rule in self.tags.items()
            if f"{TAG_PREFIX}{name}" not in names and not (isinstance(rule, str) and set(self.tag_words) & set(names))
        }
        entered = {name: rule for name, rule in self.automations.items() if f"{AUTOMATION_PREFIX}{name}" not in names}
        update = {"fields": fields, "consent": left, "lists": lists, "tags": tags, "automations": entered}
        return self.model_copy(update=update)

    def roles(self) -> dict[str, str]:
        """As `Sync.roles`."""
        return self._sent("profile")

    def needed_fields(self) -> Iterator[tuple[str, str]]:
        """As `Sync.needed_fields`."""
        region = self.identity.region
        if region is not None and region.source_field is not None:
            yield region.source_field, "the country of the key (identity.region)"
        for column, state in self.consent.columns.items():
            yield state.source_field, f"a consent state (consent: {column})"
        for name, on in self.lists.items():
            if isinstance(on, ListState):
                yield on.source_field, f"a consent state (lists: {name})"
            else:
                yield from ((each, f"asked for by a condition (lists: {name})") for each in on.condition.fields)
        for field in self.tag_words.values():
            yield field, "its words are tags (tags: from)"
        for name, rule in self.named_tags.items():
            yield from ((each, f"asked for by a condition (tags: {name})") for each in rule.condition.fields)
        for name, enrolment in self.automations.items():
            asked = f"asked for by a condition (automations: {name})"
            yield from ((each, asked) for each in enrolment.condition.fields)

    def only(self, field: str) -> Self:
        """As `Sync.only`."""
        return self.model_copy(update={"fields": {field: self.fields[field]}, **_NOTHING_ELSE})

    def contradictions(self) -> Iterator[tuple[Location, str]]:
        """As `Sync.contradictions`."""
        identity = self.identity
        if identity.on_new == "identify_by_email" and (identity.external_id is None or "email" not in self.fields):
            lacks = "`external_id` as identity" if identity.external_id is None else "`email` under `fields`"
            text = (
                "identify_by_email gives external ids to profiles that are known by their address alone; "
                f"it needs {lacks}. Add it, or write `create` or `update_only`"
            )
            yield ("identity", "on_new"), text

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its attributes: what makes keys alone, from the identity's field or from another one."""
        identity = self.identity if field is None else self.identity.of_field(field)
        return self.model_copy(update={"identity": identity, "fields": {}, **_NOTHING_ELSE})

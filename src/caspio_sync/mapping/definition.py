"""The sync definition: what `syncs/<name>.yaml` may say."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, WithJsonSchema, model_validator

from caspio_sync.clients.caspio_query import condition
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.document import Document, listing, parse_document, read_document
from caspio_sync.mapping.faults import find_faults
from caspio_sync.mapping.field import FieldMapping, FieldName, PhoneRegion, Shortened, Strict, TimeZone, folded

GlobalState = Literal["opted_in", "subscribed", "unsubscribed"]
GroupState = Literal["subscribed", "unsubscribed"]
BATCH_ROWS = (1_000, 200_000)
ALIAS_BYTES = 236
_CRON = re.compile(r"^\s*(?:\S+\s+){4}\S+\s*$")


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("is no subscription group id; copy the id (a UUID) from Braze's Subscription Groups") from None


def _cron(text: str) -> str:
    if not _CRON.match(text):
        raise ValueError(f"schedule '{text}' is no cron line; write five words, such as \"*/5 * * * *\"")
    return text


def _condition(text: str) -> str:
    try:
        return condition(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


def _region(given: Any) -> Any:
    return {"region": given} if isinstance(given, str) else given


AsTuple = BeforeValidator(_tuple)
_REGION_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"from": {"type": "string"}}}]}


class Source(Strict):
    """Where the rows come from.

    Args:
        table: name of the table; exactly one of table and view is given.
        view: name of the view; it needs `page_by`.
        page_by: a unique whole-number field of the view; tables are paged by PK_ID.
        cursor: a TIMESTAMP field stamped on every update; without one every run reads all rows.
        where: a condition in Caspio's SQL that limits the rows.
        time_zone: IANA zone of the wall clocks in Date/Time cells.
    """

    table: FieldName | None = None
    view: FieldName | None = None
    page_by: FieldName | None = None
    cursor: FieldName | None = None
    where: str | None = None
    time_zone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.table is None) == (self.view is None):
            raise ValueError("names no table or view, or both; write one of `table:` and `view:`")
        if self.view is not None and self.page_by is None:
            raise ValueError("a view has no PK_ID to page by; name a unique whole-number field with `page_by:`")
        if self.table is not None and self.page_by is not None:
            raise ValueError("a table is paged by its PK_ID; remove `page_by`")
        return self

    @property
    def name(self) -> str:
        """Name of the table or view."""
        return self.table or self.view or ""


class Alias(Strict):
    """A user alias as identity: `name` is the Caspio field, `label` the fixed label (≤ 236 bytes)."""

    name: FieldName
    label: str = Field(min_length=1)

    @model_validator(mode="after")
    def _label_fits(self) -> Self:
        if len(self.label.encode()) > ALIAS_BYTES:
            raise ValueError(f"the label is over {ALIAS_BYTES} bytes; shorten it")
        return self


class Identity(Strict):
    """What names a profile: exactly one identifier (Braze, identifiers of /users/track).

    Args:
        external_id: the Caspio field with the id.
        user_alias: a field and a fixed label.
        email: the field with the address.
        phone: the field with the number; `region` says how numbers without a country code are read.
        region: a region code, or `{from: Field}`; only with `phone`.
        on_new: "create" makes profiles that Braze does not know, "update_only" leaves them; "identify_by_email" gives
            the external id to the profile that is known by the row's address alone, and makes one where there is none.
    """

    external_id: FieldName | None = None
    user_alias: Alias | None = None
    email: FieldName | None = None
    phone: FieldName | None = None
    region: Annotated[PhoneRegion | None, BeforeValidator(_region), WithJsonSchema(_REGION_SCHEMA)] = None
    on_new: Literal["create", "identify_by_email", "update_only"] = "create"

    @model_validator(mode="after")
    def _one_identifier(self) -> Self:
        if sum(one is not None for one in (self.external_id, self.user_alias, self.email, self.phone)) != 1:
            raise ValueError("needs exactly one of `external_id`, `user_alias`, `email` and `phone`")
        if self.region is not None and self.phone is None:
            raise ValueError("`region` says how phone numbers are read; it needs `phone`")
        return self

    @property
    def kind(self) -> Literal["external_id", "user_alias", "email", "phone"]:
        """Braze's name of the identifier."""
        if self.external_id is not None:
            return "external_id"
        if self.user_alias is not None:
            return "user_alias"
        return "email" if self.email is not None else "phone"

    @property
    def source_field(self) -> str:
        """The Caspio field that holds the key."""
        return self.external_id or (self.user_alias.name if self.user_alias else None) or self.email or self.phone or ""

    @property
    def label(self) -> str | None:
        """The alias label; None for the other kinds."""
        return self.user_alias.label if self.user_alias else None


class ConsentMapping(Shortened):
    """A global subscription state.

    Args:
        source_field: `from`: a Yes/No or text field.
        map: the field's words and Braze's states; null stands for unknown. Yes/No fields need none.
    """

    source_field: FieldName = Field(alias="from")
    map: Annotated[dict[str, GlobalState | None], BeforeValidator(folded)] | None = None


class SubscriptionGroup(Strict):
    """A subscription group of Braze and the field with its state."""

    id: Annotated[str, AfterValidator(_uuid)]
    channel: Literal["email", "sms"]
    source_field: FieldName = Field(alias="from")
    map: Annotated[dict[str, GroupState | None], BeforeValidator(folded)] | None = None

    @property
    def column(self) -> str:
        """Name of its column in the mapped frame."""
        return f"subscription_groups.{self.id}"


class Consent(Strict):
    """Subscription states, and which of them must be known before a row may leave."""

    email_subscribe: ConsentMapping | None = None
    push_subscribe: ConsentMapping | None = None
    subscription_groups: Annotated[tuple[SubscriptionGroup, ...], AsTuple] = ()
    require: Annotated[tuple[str, ...], AsTuple] = ()

    @property
    def columns(self) -> dict[str, ConsentMapping | SubscriptionGroup]:
        """Columns of the mapped frame and where each state comes from."""
        states = {"email_subscribe": self.email_subscribe, "push_subscribe": self.push_subscribe}
        return {name: state for name, state in states.items() if state is not None} | {
            group.column: group for group in self.subscription_groups
        }

    @property
    def required(self) -> tuple[str, ...]:
        """The columns of `require`; a group may be named by its id alone."""
        return tuple(name if name in self.columns else f"subscription_groups.{name}" for name in self.require)

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        if len({group.id for group in self.subscription_groups}) < len(self.subscription_groups):
            raise ValueError("a subscription group stands twice; keep one")
        for name in self.required:
            if name not in self.columns:
                raise ValueError(
                    f"`require` names '{name}', which is not mapped here; there are: {', '.join(self.columns)}"
                )
        return self


class Expectation(Strict):
    """An expectation of the user's own, in Great Expectations' form.

    Args:
        type: its name, such as expect_column_values_to_be_between.
        kwargs: its arguments.
        severity: "critical" keeps a row (or batch) from leaving, "warning" is only reported.
        meta: anything worth keeping beside it, such as why it is there.
    """

    type: Annotated[str, Field(pattern=r"^expect_[a-z0-9_]+$")]
    kwargs: dict[str, Any] = Field(default_factory=dict)
    severity: Literal["critical", "warning"] = "critical"
    meta: dict[str, Any] = Field(default_factory=dict)


class Gate(Strict):
    """When a batch is held as a whole, and what is expected of rows besides the shipped suite.

    Args:
        max_quarantined_share: share of a batch's rows, from `min_rows` on.
        min_rows: rows from which shares and batch expectations count.
        max_quarantined_rows: the limit in rows for smaller batches.
        expectations: more expectations.
    """

    max_quarantined_share: float = Field(default=0.1, ge=0, le=1)
    min_rows: int = Field(default=200, ge=1)
    max_quarantined_rows: int = Field(default=20, ge=0)
    expectations: Annotated[tuple[Expectation, ...], AsTuple] = ()


class Erasure(Strict):
    """Whose profiles are deleted and never made again (GDPR, CCPA): a table of requests, or a condition.

    Args:
        table: a table that lists the keys.
        key: the field of that table that holds the key.
        where: a condition in Caspio's SQL: on that table, or without one on the sync's own source; `source.where` does
            not limit it.
        max_keys: a run that would erase more people than these at once stops before it erases any.
    """

    table: FieldName | None = None
    key: FieldName | None = None
    where: Annotated[str, Field(min_length=1), AfterValidator(_condition)] | None = None
    max_keys: int = Field(default=1_000, ge=1)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.table is None and self.where is None:
            raise ValueError("names nobody; write `table:` and `key:`, or `where:` with a condition on the source")
        if self.table is not None and self.key is None:
            raise ValueError("does not say which field of the table holds the key; add `key:`")
        if self.table is None and self.key is not None:
            raise ValueError("`key` is a field of `table:`; a condition on the sync's own source needs none, remove it")
        return self


class ProfileSync(Strict):
    """A sync of Caspio rows to Braze user profiles.

    Args:
        kind: always "profiles".
        source: table or view, paging, cursor, condition, time zone.
        identity: what names a profile.
        fields: Braze attribute → where it comes from, in the order of the file.
        consent: subscription states.
        batch_size: rows extracted, compared, gated and sent together.
        gate: limits and expectations.
        on_missing: what happens to profiles whose row is gone: they are kept.
        erasure: whom to erase before anything is sent.
        schedule: cron line for deployments.
    """

    kind: Literal["profiles"]
    source: Source
    identity: Identity
    fields: dict[str, FieldMapping] = Field(default_factory=dict)
    consent: Consent = Consent()
    batch_size: int = Field(default=50_000, ge=BATCH_ROWS[0], le=BATCH_ROWS[1])
    gate: Gate = Gate()
    on_missing: Literal["keep"] = "keep"
    erasure: Erasure | None = None
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    _document: Document | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _sends_something(self) -> Self:
        if not self.fields and not self.consent.columns:
            raise ValueError("maps nothing; name at least one attribute under `fields` or a state under `consent`")
        return self

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its attributes: what makes keys alone, from the identity's field or from another one."""
        identity = self.identity
        if field is not None:
            # A region read from a field of the source is in no other table: numbers there carry their country.
            at = {"user_alias": Alias(name=field, label=identity.label or "")} if identity.user_alias else {}
            region = identity.region.model_copy(update={"source_field": None}) if identity.region else None
            identity = identity.model_copy(update={identity.kind: field, "region": region, **at})
        return self.model_copy(update={"identity": identity, "fields": {}, "consent": Consent()})

    @property
    def name(self) -> str:
        """The sync's name: that of its file."""
        return self._document.path.stem if self._document else "unnamed"

    def where(self, *location: str | int) -> str:
        """`file:line` of a place in the sync file, such as `where("source", "cursor")`."""
        return self._document.where(location) if self._document else self.name


def load_sync(path: Path) -> ProfileSync:
    """Read a sync file.

    Raises:
        ConfigurationError: every finding, as `file:line: what; what to do`, one a line.
    """
    return _checked(read_document(path))


def parse_sync(text: str, path: Path) -> ProfileSync:
    """As `load_sync`, from text that would stand in `path`."""
    return _checked(parse_document(text, path))


def sync_json_schema() -> dict[str, Any]:
    """JSON Schema of the sync file, for editors."""
    schema = ProfileSync.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "caspio-sync: sync definition"} | schema


def _checked(document: Document) -> ProfileSync:
    sync, findings = find_faults(ProfileSync, document)
    if sync is None:
        raise ConfigurationError(listing(document.path, findings))
    sync._document = document  # noqa: SLF001 - the model cannot know its file while it is being validated
    identity = sync.identity
    if identity.on_new == "identify_by_email" and (identity.external_id is None or "email" not in sync.fields):
        lacks = "`external_id` as identity" if identity.external_id is None else "`email` under `fields`"
        raise ConfigurationError(
            f"{sync.where('identity', 'on_new')}: identity.on_new: identify_by_email gives external ids to profiles "
            f"that are known by their address alone; it needs {lacks}. Add it, or write `create` or `update_only`"
        )
    return sync

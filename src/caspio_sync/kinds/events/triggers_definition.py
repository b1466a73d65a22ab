"""The definition of syncs of `kind: triggers`: a row sends a message that an API call can trigger."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping

SEND_ID = r"^[\x20-\x7e]{1,64}$"
# How long a destination that knows a message again by its key does so at the least: it remembers them for 24 hours
# (Braze, 13), and a run takes its time.
KNOWN_AGAIN_SECONDS = 23 * 3600.0

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


class TriggerSync(Occurrences):
    """A sync of Caspio rows to messages: each row sends one, once.

    Args:
        kind: always "triggers".
        campaign_id: the campaign's API identifier; exactly one of it and `canvas_id`.
        canvas_id: the Canvas's.
        transactional: whether the campaign is transactional e-mail. Its messages bear a key by which a repeated one is
            known for 24 hours, so that one whose answer was lost is sent again (`when_lost: resend`, unless it says
            otherwise).
        send_id: under which the campaign's messages are counted.
        fields: `trigger_properties`: what the message may show of the row.
    """

    properties_word: ClassVar[str] = "trigger_properties"
    kind: Literal["triggers"]
    campaign_id: Id | None = None
    canvas_id: Id | None = None
    transactional: bool = False
    send_id: Annotated[str, Field(pattern=SEND_ID)] | None = None
    fields: Mapping[str, FieldMapping] = Field(default_factory=dict, alias="trigger_properties")

    @model_validator(mode="before")
    @classmethod
    def _what_is_known_again_is_repeated(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("transactional") is True and "when_lost" not in given:
            return given | {"when_lost": "resend"}
        return given

    @property
    def taxonomy(self) -> tuple[str, ...]:
        """As `Occurrences.taxonomy`: a message has no name."""
        return ()

    @property
    def target(self) -> str:
        """Id of the campaign or Canvas."""
        return self.campaign_id or self.canvas_id or ""

    @property
    def counted_there(self) -> bool:
        """As `Occurrences.counted_there`: which messages a person got, nobody tells."""
        return False

    @property
    def known_again_seconds(self) -> float | None:
        """As `Occurrences.known_again_seconds`."""
        return KNOWN_AGAIN_SECONDS if self.transactional else None

    @property
    def happenings(self) -> dict[str, str]:
        """As `Occurrences.happenings`."""
        what = "campaign" if self.campaign_id is not None else "Canvas"
        return {self.target: f"messages of {what} {self.target}"}

    def contradictions(self) -> Iterator[tuple[Location, str]]:
        """As `Sync.contradictions`."""
        yield from super().contradictions()
        identity = self.identity
        if (self.campaign_id is None) == (self.canvas_id is None):
            yield ("kind",), "needs exactly one of `campaign_id` and `canvas_id`"
        if self.transactional and self.campaign_id is None:
            yield ("transactional",), "only a campaign is transactional; write `campaign_id`"
        if self.send_id is not None and (self.campaign_id is None or self.transactional):
            yield ("send_id",), "counts the messages of campaigns that are not transactional; remove it"
        if identity.kind == "phone" or (self.transactional and identity.kind == "email"):
            text = (
                f"no message is sent to a person named by {identity.kind} here; name them by external_id or user_alias"
            )
            yield ("identity", identity.kind), text
        if "on_new" in identity.model_fields_set and identity.on_new == "create":
            yield ("identity", "on_new"), "a message reaches people who are known; remove it, or write `update_only`"

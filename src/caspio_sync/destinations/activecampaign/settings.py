"""Where the ActiveCampaign account is, and what may be asked of it."""

from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from caspio_sync.settings import DestinationSettings, in_secret, on_this_machine, readable

EVENT_URL = "https://trackcmp.net"  # (ActiveCampaign, event tracking)
CALLS_PER_SECOND = 5  # of an account, whoever calls (ActiveCampaign, rate limits)


def _bare(url: str) -> str:
    """An address alone: whatever else stands in it is shown where the address is, and may be a key."""
    read = urlsplit(url.strip())
    if "@" in read.netloc or read.query or read.fragment:
        raise ValueError("holds a name, a password or parameters; give https:// and the host alone")
    return url


class ActiveCampaignSettings(DestinationSettings):
    """The settings of ActiveCampaign, each named as its environment variable in `.env.example`."""

    ACCOUNT: ClassVar = (
        "ACTIVECAMPAIGN_URL",
        "ACTIVECAMPAIGN_KEY",
        "ACTIVECAMPAIGN_EVENT_ID",
        "ACTIVECAMPAIGN_EVENT_KEY",
        "ACTIVECAMPAIGN_EVENT_URL",
    )
    WHOLE: ClassVar = "ACTIVECAMPAIGN_URL"

    activecampaign_url: str = Field(
        min_length=1, description="API URL of Settings > Developer, such as https://account.api-us1.com"
    )
    activecampaign_key: SecretStr = Field(min_length=1, description="API key of the same page")
    activecampaign_calls_per_second: float = Field(
        default=4.0,
        gt=0,
        le=CALLS_PER_SECOND,
        allow_inf_nan=False,
        description="calls a second; the account has 5 in all, and what is left here is for its other integrations",
    )

    activecampaign_event_id: str | None = Field(
        default=None, description="actid of Website > Site Tracking > Event Tracking; syncs of events need it"
    )
    activecampaign_event_key: SecretStr | None = Field(default=None, description="event key of the same page")
    activecampaign_event_url: str = Field(
        default=EVENT_URL, min_length=1, description="where events go: a host of its own, the same for every account"
    )

    _url_readable = field_validator("activecampaign_url", "activecampaign_event_url")(readable)
    _url_in_secret = field_validator("activecampaign_url", "activecampaign_event_url")(in_secret)
    _url_bare = field_validator("activecampaign_url", "activecampaign_event_url")(_bare)

    @model_validator(mode="after")
    def _sandbox_is_here(self) -> "ActiveCampaignSettings":
        on_this_machine(self.activecampaign_url, sandbox=self.sandbox)
        if self.activecampaign_event_key is not None:  # without one no event leaves
            on_this_machine(self.activecampaign_event_url, sandbox=self.sandbox)
        return self

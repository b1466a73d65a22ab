"""What the page needs besides the settings of whoever looks."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from caspio_sync.settings import LocalSettings, bearer_token


class UiSettings(LocalSettings):
    """What `caspio-sync ui` needs; a person's look-up needs the accounts besides."""

    ui_token: Annotated[SecretStr, AfterValidator(bearer_token)] | None = Field(
        default=None,
        validation_alias="CASPIO_SYNC_UI_TOKEN",
        description="token of the page; make one by openssl rand -base64 32",
    )

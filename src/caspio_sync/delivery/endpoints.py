"""Where requests go."""

from typing import Protocol

from caspio_sync.delivery.requests import Request
from caspio_sync.errors import PermanentError
from caspio_sync.wire.taken import Taken


class Endpoint(Protocol):
    """Something that takes requests, one attempt a call."""

    @property
    def title(self) -> str:
        """Of the destination, for people."""

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """Send a request.

        Args:
            request: whose body is sent.
            seconds: for the answer.

        Raises:
            TransientError: another attempt may help.
            PermanentError: the whole request was refused.
            ConfigurationError: nothing of this kind will be taken until a person has changed something.
        """

    async def ask(self) -> None:
        """Ask for something that writes nothing and costs nothing, to hear whether it is the destination who answers.

        Raises:
            ForeignAnswerError: it is not.
            TransientError, ConfigurationError: as `deliver`.
        """

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:
        """Indexes of the objects that the refusal of a request names, and the words for each."""

    def words(self, error: PermanentError) -> str:
        """The destination's own words for a refusal."""

    async def aclose(self) -> None:
        """Close every connection."""

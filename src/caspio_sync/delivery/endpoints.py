"""Where requests go, and what an answer tells: one attempt a call."""

from collections.abc import Sequence
from typing import Protocol

from caspio_sync.clients._http import RateLimit
from caspio_sync.delivery.requests import Request
from caspio_sync.errors import PermanentError


class ObjectError(Protocol):
    """An object that an accepted request left out."""

    @property
    def index(self) -> int | None:
        """Its place in the array; None where the answer does not say."""
        ...

    @property
    def input_array(self) -> str | None:
        """Name of the array; None where the answer does not say."""
        ...

    @property
    def type(self) -> str:
        """Why, without any value."""
        ...


class Taken(Protocol):
    """A 2xx."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def errors(self) -> Sequence[ObjectError]:
        """Objects that were left out."""
        ...

    @property
    def rate(self) -> RateLimit:
        """The answer's rate window."""
        ...

    @property
    def doubt(self) -> str:
        """Why the answer is not known to be the destination's own: nothing is known of any object; "" where it is."""
        ...


class Endpoint(Protocol):
    """Something that takes requests, one attempt a call."""

    @property
    def title(self) -> str:
        """Of the destination, for people."""
        ...

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
        ...

    async def ask(self) -> None:
        """Ask for something that writes nothing and costs nothing, to hear whether it is the destination who answers.

        Raises:
            ForeignAnswerError: it is not.
            TransientError, ConfigurationError: as `deliver`.
        """
        ...

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:
        """Indexes of the objects that the refusal of a request names, and the words for each."""
        ...

    def words(self, error: PermanentError) -> str:
        """The destination's own words for a refusal."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...

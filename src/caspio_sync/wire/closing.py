"""What is closed at the end of its `async with`."""

from typing import Self


class Closing:
    """Base of clients and of what holds them."""

    async def aclose(self) -> None:
        """Close every connection."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

"""Lookup of profiles by address or number: several profiles may share one."""


class SharedIndex:
    """Text to profile numbers. One number is held bare, several as a list: most addresses have one profile."""

    def __init__(self) -> None:
        self._held: dict[str, int | list[int]] = {}

    def add(self, text: str, number: int) -> None:
        """Let `number` be found under `text`."""
        held = self._held.get(text)
        if held is None:
            self._held[text] = number
        elif type(held) is list:
            held.append(number)
        else:
            self._held[text] = [held, number]  # type: ignore[list-item]  # an int, by the branch above

    def discard(self, text: str, number: int) -> None:
        """Let `number` no longer be found under `text`."""
        numbers = [held for held in self.find(text) if held != number]
        if len(numbers) > 1:
            self._held[text] = numbers
        elif numbers:
            self._held[text] = numbers[0]
        else:
            self._held.pop(text, None)

    def find(self, text: str) -> list[int]:
        """The profiles under `text`, oldest entry first."""
        held = self._held.get(text)
        if held is None:
            return []
        return [held] if isinstance(held, int) else list(held)

    def is_shared(self, text: str) -> bool:
        """Whether several profiles stand under `text`."""
        return type(self._held.get(text)) is list

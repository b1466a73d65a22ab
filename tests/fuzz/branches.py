"""Which branches an input reached: pairs of lines of caspio-sync that ran one after the other."""

import sys
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

from tests.fuzz.judging import SOURCE

Branch = tuple[CodeType, int, int]


class Branches:
    """Collects `reached` while its block runs, in this thread. One way for all versions of Python: `sys.settrace`."""

    def __init__(self) -> None:
        self.reached: set[Branch] = set()
        self._ours: dict[CodeType, bool] = {}
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        ours = self._ours.get(code)
        if ours is None:
            # The emulators are not what is tried, and every branch of theirs would look like news.
            name = code.co_filename
            ours = self._ours[code] = name.startswith(SOURCE) and not name.startswith(f"{SOURCE}/sandbox")
        if not ours:
            return None
        last = 0
        add = self.reached.add

        def ran(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return ran

        return ran

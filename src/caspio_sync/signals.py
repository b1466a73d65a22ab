"""Ctrl-C, SIGTERM and SIGHUP: whoever tells a command to end waits two seconds at the most, and reads one line.

The command ends as Python ends: KeyboardInterrupt is raised, or asyncio cancels the main task, and what is open is
closed on the way out; a run writes down that it was interrupted. Libraries may wait for minutes on that way (for a
server that is gone, for a thread), so a thread that the system wakes at the signal ends the process when the time is
up. A second Ctrl-C ends it at once. Nothing is lost by that: a run may be killed at any moment (`kill -9` too).
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# The rest of the two seconds is for a busy machine; for what is to be written down, it gets more.
_GRACE_SECONDS = 1.2
_NOTE_SECONDS = 5.0
# `timeout` and service managers tell a process and its group: the same word twice, at once.
_ONE_WORD_SECONDS = 0.3
_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP (its terminal was closed)"}
_NUMBERS = {int(getattr(signal, name)): text for name, text in _NAMES.items() if hasattr(signal, name)}

_told: int | None = None  # the first signal that told this process to end
_own_time = False  # a service: it ends in its own time
_passed_on = False
_installed = False
_said = threading.Lock()
_notes: list[Callable[[], object]] = []
_remark = ""


def install() -> None:
    """Take over the signals that end a process. In the main thread, before anything heavy is imported."""
    global _installed  # noqa: PLW0603 - signals are the process's
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _installed = True
    for number in _NUMBERS:
        # One that is ignored (nohup, a shell's background job) stays so.
        if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _as_ctrl_c)
    threading.Thread(target=_watch, args=(reading,), name="signals", daemon=True).start()


def retake() -> None:
    """Take SIGTERM over again from Prefect's engine, which raises it wherever the event loop is at that moment.

    On a worker, where the engine's word is the runner's, nothing was installed, and nothing is taken.
    """
    if _installed and not _own_time and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _as_ctrl_c)


def end_in_own_time() -> None:
    """For a service, which ends by a signal: KeyboardInterrupt is raised, and nobody counts the seconds."""
    global _own_time  # noqa: PLW0603 - as above
    _own_time = True
    for number in _NUMBERS:
        if signal.getsignal(number) in {_as_ctrl_c, signal.SIG_DFL}:
            signal.signal(number, signal.default_int_handler)


def remark(text: str) -> None:
    """What the line at the end says besides: what becomes of the work under way."""
    global _remark  # noqa: PLW0603 - as above
    _remark = f"; {text}"


@contextlib.contextmanager
def noting(note: Callable[[], object]) -> Iterator[None]:
    """While the block lasts, a signal that ends the process has this called at once, in a thread of its own.

    The block's own way out may take longer than anybody waits.
    """
    _notes.append(note)
    try:
        yield
    finally:
        _notes.remove(note)


def exit_code(error: BaseException | None = None) -> int:
    """As a shell tells of a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        error: what ended the work; Prefect's engine raises one that knows its signal.
    """
    return 128 + int(getattr(error, "signal", None) or _told or signal.SIGINT)


def is_ending() -> bool:
    """Whether this process was told to end."""
    return _told is not None


def end() -> NoReturn:
    """The line, and the end of the process: no thread is waited for, and no library's own end."""
    global _told  # noqa: PLW0603 - as above
    _told = _told or signal.SIGINT
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    _end_now()


def _watch(reading: int) -> None:
    """In a thread, since the main one may be inside a library for longer than anybody waits."""
    global _told  # noqa: PLW0603 - as above
    while _told is None:
        number = os.read(reading, 1)[0]
        if number in _NUMBERS and not _own_time:
            _told = number
    began = time.monotonic()
    noted = threading.Thread(target=_note, daemon=True)
    noted.start()
    while (left := began + _GRACE_SECONDS - time.monotonic()) > 0:
        ready, _, _ = select.select([reading], [], [], left)
        again = os.read(reading, 1)[0] if ready else 0
        if again in _NUMBERS and (again == signal.SIGINT or time.monotonic() - began > _ONE_WORD_SECONDS):
            _end_now()
    noted.join(_NOTE_SECONDS - _GRACE_SECONDS)
    _end_now()


def _note() -> None:
    for note in tuple(_notes):
        with contextlib.suppress(Exception):  # nothing is lost by it: a run without an end counts as killed
            note()


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """End as by Ctrl-C: asyncio's own handler of it cancels the main task, Python's raises KeyboardInterrupt."""
    global _passed_on, _told
    if _passed_on:
        return
    _passed_on, _told = True, _told or number
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # a shell's background job ignores Ctrl-C
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _end_now() -> NoReturn:
    """Written past every lock of the main thread, which may hold one for ever."""
    if _said.acquire(blocking=False):
        # A progress bar hides the cursor and stands on the last line.
        clean = "\r\x1b[2K\x1b[?25h" if os.isatty(2) else ""
        line = f"{clean}stopped by {_NUMBERS[_told or signal.SIGINT]}{_remark}\n"
        with contextlib.suppress(OSError):
            os.write(2, line.encode())
        os._exit(exit_code())
    while True:  # another thread is ending the process
        time.sleep(1)

"""How a process of ours ends by a signal: in real processes, for signals are the process's."""

import contextlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

# Each prints "ready" once it stands where the signal is to find it.
READY = "print('ready', flush=True)"
BEGIN = "import asyncio, sys, time; from caspio_sync import signals; signals.install()"
WAYS = {
    "plain": f"""{BEGIN}
try:
    {READY}
    time.sleep(30)
except KeyboardInterrupt:
    print('closed', flush=True)
    signals.end()
""",
    "asyncio": f"""{BEGIN}
signals.remark('the next run goes on')
async def work():
    try:
        {READY}
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        print('closed', flush=True)
        raise
try:
    asyncio.run(work())
except KeyboardInterrupt:
    signals.end()
""",
    "a library that waits for ever": f"""{BEGIN}
words = ['closed', 'ready']
while True:
    try:
        if words:
            print(words.pop(), flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        pass
""",
    "an engine that took SIGTERM": f"""{BEGIN}
import signal
signal.signal(signal.SIGTERM, lambda *_: None)
signals.retake()
try:
    {READY}
    time.sleep(30)
except KeyboardInterrupt:
    print('closed', flush=True)
    signals.end()
""",
    "a service": f"""{BEGIN}
signals.end_in_own_time()
try:
    {READY}
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(1.5)  # longer than a command is given
    print('closed', flush=True)
""",
}
BY_SIGNAL = {
    signal.SIGINT: (130, "stopped by Ctrl-C"),
    signal.SIGTERM: (143, "stopped by SIGTERM"),
    signal.SIGHUP: (129, "stopped by SIGHUP (its terminal was closed)"),
}


# `nohup make test` has every process ignore what this is about.
UNIGNORED = """import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


@contextlib.contextmanager
def started(way: str) -> Iterator[subprocess.Popen[str]]:
    """A process that stands where the signal is to find it; one that the signal did not end is killed."""
    command = [sys.executable, "-c", UNIGNORED + WAYS[way]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("told", BY_SIGNAL)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "a service"])
def test_a_command_closes_what_is_open_and_ends_in_one_line(way: str, told: signal.Signals) -> None:
    with started(way) as process:
        process.send_signal(told)
        out, err = process.communicate(timeout=30)
    code, line = BY_SIGNAL[told]
    remark = "; the next run goes on" if way == "asyncio" else ""
    assert (process.returncode, out, err) == (code, "closed\n", f"{line}{remark}\n")


def test_a_second_ctrl_c_ends_at_once() -> None:
    with started("a library that waits for ever") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "closed\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert time.monotonic() - began < 1.0
        assert process.stderr is not None
        assert process.stderr.read() == "stopped by Ctrl-C\n"


def test_the_same_word_to_a_process_and_its_group_is_one() -> None:
    with started("asyncio") as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "closed\n")


@pytest.mark.parametrize("told", BY_SIGNAL)
def test_a_service_takes_its_own_time(told: signal.Signals) -> None:
    with started("a service") as process:
        process.send_signal(told)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "closed\n", "")


def test_what_is_ignored_stays_ignored() -> None:
    """By `nohup`, and of a shell's background job."""
    script = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)\n{WAYS['asyncio']}"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        assert select.select([process.stdout], [], [], 0.5) == ([], [], [])
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "closed\n"
        assert process.returncode == 143

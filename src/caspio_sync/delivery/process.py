"""The sender in a process of its own: `python -m caspio_sync.delivery.process`.

Two processes because of the GIL: beside a sender process, gate and ledger cost the sending nothing. Frames go over the
child's stdin (the configuration first, then requests, and until when they may leave and how fast) and stdout (answers),
each with its length in front. The child ends when its stdin or its parent does, so it never outlives the run. Secrets
travel in the first frame only, never in arguments.
"""

import asyncio
import contextlib
import math
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from caspio_sync import registry
from caspio_sync.delivery.endpoints import Endpoint
from caspio_sync.delivery.failures import Failure, error_of, failure_of
from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.delivery.sender import Answer, InlineSender, SenderLimits
from caspio_sync.errors import CallError, ConfigurationError
from caspio_sync.event_loop import run

_LENGTH = struct.Struct("<I")
_HEADER = struct.Struct("<IIIB")  # number, start, count, which of the envelopes
_ALLOWED = struct.Struct("<dd?")  # until when, which share of the limit, and whether nothing more leaves
_PIPE_BYTES = 1 << 20
# Room for a whole batch, so that the sender never starves while the next one is prepared.
_LOOK_AHEAD = 500
_PARENT_SECONDS = 0.1
_LOST: Failure = {"error": "lost", "message": "the sender process ended before it answered"}


class ProcessSender:
    """A `Sender` whose requests leave from a child process; started by the first `send`.

    Args:
        endpoint: `module:function` that makes the endpoint in the child.
        arguments: of that function; secrets among them, which therefore stand in no command line.
        limits: how fast it may go.
        envelopes: of the requests it will be given.
        repeats: as for `InlineSender`.
    """

    def __init__(
        self,
        endpoint: str,
        arguments: Mapping[str, Any],
        *,
        limits: SenderLimits,
        envelopes: Sequence[Envelope],
        repeats: bool = True,
    ) -> None:
        self._envelopes = tuple(envelopes)
        self._configuration: dict[str, Any] = {
            "endpoint": endpoint,
            "arguments": dict(arguments),
            "limits": asdict(limits),
            "envelopes": [asdict(each) for each in self._envelopes],
            "repeats": repeats,
        }
        self.process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Queue[dict[str, Any] | Exception]] = {}
        self._starting = asyncio.Lock()
        self._allowed_until = math.inf
        self._share = 1.0
        self._stopped = False

    def ask_first(self) -> None:
        """As `Sender.ask_first`, for every process that is started from now on."""
        self._configuration["ask_first"] = True

    def allow_until(self, uptime: float) -> None:
        """As `Sender.allow_until`; the child waits by itself where this process is paused."""
        self._allowed_until = uptime
        self._tell_allowed()

    def take_share(self, share: float) -> None:
        """As `Sender.take_share`."""
        self._share = share
        self._tell_allowed()

    def stop(self) -> None:
        """As `Sender.stop`."""
        self._stopped = True
        self._tell_allowed()

    def _tell_allowed(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.write(_allowance(self._allowed_until, self._share, stopped=self._stopped))

    async def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
        """As `Sender.send`; an error ends the process, and with it what it still holds."""
        process = await self._started()
        answers: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        owed: set[int] = set()
        fed = asyncio.Event()
        room = asyncio.Semaphore(_LOOK_AHEAD)
        feeder = asyncio.create_task(self._feed(process, requests, answers, owed, fed, room))
        try:
            while not fed.is_set() or owed:
                answer = _answered(await answers.get())
                if "number" in answer:
                    owed.discard(answer["number"])
                    room.release()
                    rejected = tuple((place, reason) for place, reason in answer.pop("rejected"))
                    ids = tuple((place, number) for place, number in answer.pop("ids"))
                    marks = tuple((place, name, mark) for place, name, mark in answer.pop("marks"))
                    notes = tuple(answer.pop("notes"))
                    yield Answer(rejected=rejected, notes=notes, ids=ids, marks=marks, **answer)
        except BaseException:
            await self.close()  # what it still holds must not leave once nobody records the answers
            raise
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)

    async def close(self) -> None:
        """End the process; the next `send` starts another."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _started(self) -> Process:
        async with self._starting:
            if self._reader is not None and self._reader.done():
                await self.close()  # it ended between two batches
            if self.process is None:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    __name__,
                    stdin=PIPE,
                    stdout=PIPE,
                    limit=_PIPE_BYTES,
                    start_new_session=True,  # a Ctrl-C in the terminal reaches the parent, which then ends it
                )
                await _write(self.process, orjson.dumps({**self._configuration, "parent": os.getpid()}))
                self._tell_allowed()
                self._reader = asyncio.create_task(self._read(self.process))
            return self.process

    async def _feed(  # noqa: PLR0917 - what `send` and its feeder share
        self,
        process: Process,
        requests: AsyncIterator[Request],
        answers: asyncio.Queue[dict[str, Any] | Exception],
        owed: set[int],
        fed: asyncio.Event,
        room: asyncio.Semaphore,
    ) -> None:
        try:
            async for request in requests:
                await room.acquire()
                owed.add(request.number)
                self._waiting[request.number] = answers
                if self._reader is None or self._reader.done():
                    answers.put_nowait(_LOST)
                    return
                header = _HEADER.pack(
                    request.number, request.start, request.count, self._envelopes.index(request.envelope)
                )
                await _write(process, header + request.body)
        except Exception as error:  # noqa: BLE001 - whatever it is, `send` raises it; unsaid, it would wait for ever
            answers.put_nowait(error)
            return
        fed.set()
        answers.put_nowait({})  # wakes the reader of answers where all have come already

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        try:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    for answer in orjson.loads(await _read_frame(process.stdout)):
                        self._waiting.pop(answer["number"]).put_nowait(answer)
        finally:
            for answers in set(self._waiting.values()):
                answers.put_nowait(_LOST)
            self._waiting.clear()


def _answered(answer: dict[str, Any] | Exception) -> dict[str, Any]:
    if isinstance(answer, Exception):
        raise answer
    if "error" in answer:
        raise error_of(answer)
    return answer


def _allowance(uptime: float, share: float, *, stopped: bool) -> bytes:
    """A frame without objects says until when requests may leave, how fast, and whether none does any more."""
    frame = _HEADER.pack(0, 0, 0, 0) + _ALLOWED.pack(uptime, share, stopped)
    return _LENGTH.pack(len(frame)) + frame


async def _write(process: Process, frame: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(_LENGTH.pack(len(frame)) + frame)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # the reader of answers tells that it ended
        await process.stdin.drain()


async def _read_frame(stream: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return await stream.readexactly(length)


async def _serve() -> None:
    """The child: deliver what comes on stdin until it ends."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=_PIPE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
    configuration = orjson.loads(await _read_frame(stdin))
    limits = SenderLimits(**configuration["limits"])
    envelopes = [Envelope(**each) for each in configuration["envelopes"]]
    endpoint: Endpoint = registry.found(configuration["endpoint"])(**configuration["arguments"])
    sender = InlineSender(endpoint, limits=limits, repeats=configuration["repeats"])
    if configuration.get("ask_first"):
        sender.ask_first()
    # The parent bounds it; a reader that waited for room here would not hear until when requests may leave.
    waiting: asyncio.Queue[Request] = asyncio.Queue()
    answers: list[dict[str, Any]] = []
    answered = asyncio.Event()
    tasks = [asyncio.create_task(_deliver(sender, waiting, answers, answered)) for _ in range(limits.connections)]
    tasks.append(asyncio.create_task(_write_answers(answers, answered)))
    tasks.append(asyncio.create_task(_end_with_parent(configuration["parent"])))
    try:
        while True:
            frame = await _read_frame(stdin)
            number, start, count, which = _HEADER.unpack_from(frame)
            if count:
                waiting.put_nowait(Request(number, start, count, frame[_HEADER.size :], envelopes[which]))
            else:
                until, share, stopped = _ALLOWED.unpack_from(frame, _HEADER.size)
                if stopped:
                    sender.stop()
                sender.allow_until(until)
                sender.take_share(share)
    except asyncio.IncompleteReadError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await sender.close()


async def _end_with_parent(parent: int) -> None:
    """End at once when the parent is gone: what it had handed over, nobody would record any more."""
    while os.getppid() == parent:  # noqa: ASYNC110 - the system has no event for it
        await asyncio.sleep(_PARENT_SECONDS)
    os._exit(1)


async def _deliver(
    sender: InlineSender, waiting: asyncio.Queue[Request], answers: list[dict[str, Any]], answered: asyncio.Event
) -> None:
    while True:
        request = await waiting.get()
        try:
            answers.append(asdict(await sender.deliver(request)))
        except (CallError, ConfigurationError) as error:
            answers.append({"number": request.number, **failure_of(error)})
        except Exception as error:  # noqa: BLE001 - unanswered, the parent would wait for ever; a message may hold values
            answers.append({"number": request.number, "error": "bug", "message": type(error).__name__})
        answered.set()


async def _write_answers(answers: list[dict[str, Any]], answered: asyncio.Event) -> None:
    while True:
        await answered.wait()
        answered.clear()
        frame = orjson.dumps(answers)
        answers.clear()
        # One small write a turn of the loop; the parent always reads.
        sys.stdout.buffer.write(_LENGTH.pack(len(frame)) + frame)
        sys.stdout.buffer.flush()
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run(_serve())

"""Prefect's server for the runs of one process: started with it, and gone with it, however it ends.

`python -m tasks.private_server FD` is the server itself, on a socket that its parent made. It reads standard input,
which closes when the parent ends (also by `kill -9`), and tells on standard output when it answers.
"""

import atexit
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from caspio_sync.errors import TransientError

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 120.0  # a new database on a busy machine
_GRACE_SECONDS = 5.0  # for the records of the last run
_READY = b"ready\n"
# As Prefect starts such a server itself.
_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class PrivateServer:
    """The server as a child process. It starts at once and answers some seconds later.

    Args:
        home: folder of its database and its log.
    """

    def __init__(self, home: Path) -> None:
        self._log = home / "server.log"
        with socket.socket() as listener, self._log.open("wb") as log:
            listener.bind((_HOST, 0))
            self.url = f"http://{_HOST}:{listener.getsockname()[1]}/api"
            # A session of its own: a Ctrl-C in the terminal reaches us, and the run's end can still be written down.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "tasks.private_server", str(listener.fileno())],
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            )
        atexit.register(self.stop)

    def await_answers(self) -> None:
        """Wait until it answers.

        Raises:
            TransientError: it does not.
        """
        told = self._process.stdout
        assert told is not None
        ready, _, _ = select.select([told], [], [], _PATIENCE_SECONDS)
        if not ready or told.readline() != _READY:
            self._process.kill()
            raise TransientError(f"Prefect's server for this run did not start; {self._log} says why. Try again")

    def stop(self) -> None:
        """End it, with what it still has to write down."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        self._process.kill()
        self._process.wait()


def _serve(descriptor: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints belongs into the log

    import uvicorn  # noqa: PLC0415 - the parent starts this module, and needs none of these
    from prefect.server.api.server import create_app  # noqa: PLC0415 - as above

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            os.write(told, _READY)
            os.close(told)

    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # uvicorn ends in order; before it is there, the process ends at once
    time.sleep(_GRACE_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

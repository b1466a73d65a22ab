"""The console script, and `python -m caspio_sync`: signals and process first, then the command line."""

import gc
import sys

from caspio_sync import signals, startup
from caspio_sync.errors import CaspioSyncError


def main() -> None:
    """Run a command and end with its exit code, or by the signal that told it to end."""
    code: int | str | None = 0
    try:
        signals.install()
        startup.prepare()
        sys.modules.setdefault("trio", None)  # type: ignore[arg-type]  # httpcore loads it where somebody installed it
        gc.set_threshold(50_000)  # the usual 700 look through thousands of modules while they are loaded
        from caspio_sync.cli.main import run_command  # noqa: PLC0415 - takes seconds; a Ctrl-C finds us ready

        code = run_command()
    except CaspioSyncError as error:  # before there is a command line
        code = error.exit_code
        sys.stderr.write(f"error: {error}\n")
    except KeyboardInterrupt:
        signals.end()
    if signals.is_ending() or code == signals.exit_code():
        signals.end()
    gc.freeze()  # else the interpreter looks for garbage in all there is, twice, before it ends
    sys.exit(code)


if __name__ == "__main__":
    main()

"""`caspio-sync`: the command line. Commands are thin: read arguments, call the library, show what came back."""

import os
from pathlib import Path
from typing import Annotated

import typer

from caspio_sync import __version__
from caspio_sync.cli.commands import Commands
from caspio_sync.cli.origin import refuse_foreign_packages
from caspio_sync.cli.show import OUT, flushed, show_error
from caspio_sync.env_file import ENV_FILE_VARIABLE, read_env_file
from caspio_sync.errors import CaspioSyncError, ConfigurationError, UnexpectedError

app = typer.Typer(
    name="caspio-sync",
    cls=Commands,
    help="Move customer data from Caspio to Braze, ActiveCampaign and any endpoint: only what changed, each row with a "
    "verdict, nothing lost.\n\n"
    "First steps: `caspio-sync demo` shows everything on local emulators. With your own accounts: copy .env.example to "
    ".env, then `init`, `check`, `plan`, `run`.\n\n"
    "Exit codes: 0 done, 2 configuration, 3 blocked by a gate or paused, 4 failed, 5 not all sent (--strict); "
    "1 is a bug.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    """Before a command is missed."""
    if asked:
        OUT.print(__version__)
        raise typer.Exit


@app.callback()
def everywhere(
    env_file: Annotated[Path | None, typer.Option(help="Settings file; default .env here.", show_default=False)] = None,
    use_sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Use the sandbox that `caspio-sync sandbox up` started here.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log.")] = False,
    version: Annotated[  # noqa: ARG001 - printed by its own callback
        bool, typer.Option("--version", help="Show the version and stop.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of every command; they stand before its name."""
    if use_sandbox:
        from caspio_sync.cli import sandbox

        if not sandbox.SANDBOX_ENV.is_file():
            raise ConfigurationError("no sandbox is running here; start one with `caspio-sync sandbox up`")
        sandbox.use_settings({name: value or "" for name, value in read_env_file(sandbox.SANDBOX_ENV).items()})
    elif env_file is not None:
        os.environ[ENV_FILE_VARIABLE] = str(env_file)
    if verbose:
        os.environ["CASPIO_SYNC_VERBOSE"] = "1"


def run_command() -> int:
    """Run the command that the arguments name: every error of ours ends in one message, never in a traceback.

    Returns:
        its exit code.
    """
    code = 0
    try:
        refuse_foreign_packages()
        app()
    except SystemExit as ended:  # click's own end, with a code of ours or 2 for arguments it does not know
        code = int(ended.code or 0)
    except CaspioSyncError as error:
        show_error(str(error))
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - a traceback's last line may quote a customer
        bug = UnexpectedError.of(error)
        show_error(str(bug))
        code = bug.exit_code
    return flushed(code)

"""`caspio-sync webhooks`: the webhook by which Caspio announces what changes in a sync's table."""

import asyncio
import json
import os
import sys
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from caspio_sync.caspio.webhooks import OutgoingWebhooks
from caspio_sync.cli import webhooks_back
from caspio_sync.cli.findings import show_findings
from caspio_sync.cli.look import open_ledger
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.run import run_shown, show_report
from caspio_sync.cli.show import ERR, OUT, number, show_error, show_json
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.deployed import webhook
from caspio_sync.deployed.webhook import Found, Wanted
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.quota import count_calls
from caspio_sync.env_file import read_env_file, settings_file, write_variable
from caspio_sync.errors import ConfigurationError
from caspio_sync.feeds import FEEDS_VARIABLE, read_feeds
from caspio_sync.hints import KEPT_DAYS, Heard
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.announced import announced
from caspio_sync.observe.report import RunOptions
from caspio_sync.sealed import KEYS_VARIABLE, new_key
from caspio_sync.settings import Settings, current_settings

_OLD_SECRETS = 1  # that stay good beside the new one: of calls that are under way

webhooks = typer.Typer(
    help="The webhook by which Caspio announces what changes in a sync's table.", no_args_is_help=True
)


@webhooks.callback()
def _group() -> None:
    """The webhook by which Caspio announces what changes in a sync's table."""


@webhooks.command("install")
def install(
    sync: SyncName,
    url: Annotated[
        list[str],
        typer.Option(
            "--url", help="Where the receiver is reached from outside: https://hooks.example.com. Again for more."
        ),
    ],
    throttle: Annotated[int | None, typer.Option("--throttle", min=1, help="Calls a second, at most.")] = None,
    rest: Annotated[
        bool, typer.Option("--rest/--no-rest", help="Whether rows that are written by REST are announced too.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the sync's webhook in Caspio, or repair it: it announces every row that is added, changed or deleted.

    Of an engagement return it is the destination's, where that has one: it tells what happens to people there.

    Its secret, which Caspio shows once, goes into CASPIO_SYNC_WEBHOOKS of the settings file, for `caspio-sync receive`,
    which has to be started again. A webhook of its name whose secret is not there is made anew, after asking; what
    changed meanwhile is read then. Where rows that are added are sent as their messages tell them (events, `trust:
    payload`), a key to encrypt them with is made besides, CASPIO_SYNC_PAYLOAD_KEYS. Needs a web services profile with
    "Enable access to all objects". Caspio announces no imports, data tasks, bulk replacements and cascades: the
    schedule finds these.

    Example: `caspio-sync webhooks install customers --url https://hooks.example.com`
    """
    settings = current_settings(sync)
    definition = load_sync(settings.sync_file(sync))
    if webhooks_back.comes_back(definition):
        if throttle is not None or not rest:
            raise ConfigurationError("--throttle, --no-rest: they are of Caspio's webhooks; leave them out")
        webhooks_back.install(definition, url)
        return
    want = webhook.wanted(definition, url, throttling=throttle, rest=rest)
    if os.environ.get(FEEDS_VARIABLE):
        raise ConfigurationError(
            f"{FEEDS_VARIABLE} is set in the environment, which wins over {settings_file()}: unset it, so that the "
            "secret can be written there, or keep it elsewhere and make the webhook in Caspio by hand"
        )
    anew = asyncio.run(_install(settings, want, yes=yes))
    OUT.print(f"next: start `caspio-sync receive` again, and `caspio-sync deploy` (or serve), so that {sync} listens")
    if anew:
        _sweep_the_gap(settings, sync)


async def _install(settings: Settings, want: Wanted, *, yes: bool) -> bool:
    """Whether a webhook was made in place of another, so that changes went unannounced."""
    connect = CONNECT.get()
    async with connect.caspio(settings, connect.clock) as caspio:
        hooks = OutgoingWebhooks(caspio)
        try:
            found = await webhook.look(hooks, want.sync)
            known = want.sync in _feeds()
            if found.webhook is not None and known:
                done = await webhook.repair(hooks, want, found)
                _remember(want, [])
                for each in done or ["it is as it should be"]:
                    OUT.print(f"{webhook.name_of(want.sync)}: {escape(each)}", soft_wrap=True)
                return "switched on again" in done
            if found.webhook is not None:
                _confirm(want, yes=yes)
                await hooks.delete(found.webhook.id)
            made, secret = await webhook.make(hooks, want)
            try:
                _remember(want, [secret.get_secret_value()])
            except ConfigurationError:
                await hooks.delete(made.id)  # whose secret nobody knows
                raise
            for each in await webhook.repair(hooks, want, Found(made)):
                OUT.print(f"{made.name}: {escape(each)}", soft_wrap=True)
            where = f"posts to {', '.join(made.urls)}; its secret is in {settings_file()}"
            OUT.print(f"{made.name}: {escape(where)}", soft_wrap=True)
            return found.webhook is not None
        finally:
            if settings.has_ledger:
                with open_ledger(settings) as ledger:
                    count_calls(ledger, settings.caspio_integration_url, caspio.calls)


def _confirm(want: Wanted, *, yes: bool) -> None:
    text = (
        f"Caspio has a webhook '{webhook.name_of(want.sync)}', and its secret is not in {settings_file()}: Caspio "
        "shows it once. It is deleted and made anew; whoever else uses it hears nothing more."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{text} Give --yes to have that done")
    ERR.print(escape(text))
    typer.confirm("Make it anew?", abort=True)


def _feeds() -> dict[str, Any]:
    """The feeds in the settings file, as they stand there.

    Raises:
        ConfigurationError: they cannot be read.
    """
    try:
        return dict(read_feeds(read_env_file(settings_file()).get(FEEDS_VARIABLE) or "{}"))
    except ValueError as error:
        raise ConfigurationError(f"{settings_file()}: {FEEDS_VARIABLE}: {error}") from None


def _remember(want: Wanted, secrets: list[str]) -> None:
    feeds = _feeds()
    feed = feeds.get(want.sync) if isinstance(feeds.get(want.sync), dict) else None
    before = list((feed or {}).get("secrets") or [])
    kept = before if not secrets else [*secrets, *before[:_OLD_SECRETS]]
    more = {"beside": list(want.beside)} if want.beside else {}
    feeds[want.sync] = {"table": want.table, "secrets": kept, **more, **({"payload": True} if want.payload else {})}
    _write(feeds)
    if want.payload and not (os.environ.get(KEYS_VARIABLE) or read_env_file(settings_file()).get(KEYS_VARIABLE)):
        write_variable(settings_file(), KEYS_VARIABLE, new_key())


def _write(feeds: dict[str, Any]) -> None:
    # It is written in single quotes, within which a settings file reads a backslash before another, or a quote, as one.
    text = json.dumps(feeds).replace("\\\\", "\\u005c").replace("'", "\\u0027")
    write_variable(settings_file(), FEEDS_VARIABLE, text)


def _sweep_the_gap(settings: Settings, sync: str) -> None:
    """Read what changed while no webhook announced it."""
    with open_ledger(settings) as ledger:
        first = ledger.cursor(sync) is None
    if first:
        OUT.print(f"nothing was read of {sync} yet: `caspio-sync plan {sync}`, then `caspio-sync run {sync}`")
        return
    report, error = run_shown(sync, RunOptions(wait=True))
    if report is not None:
        show_report(report)
    if error is not None:
        show_error(f"what changed while no webhook announced it was not read: {error}")
        raise typer.Exit(error.exit_code)


@webhooks.command("uninstall")
def uninstall(
    sync: SyncName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the sync's webhook in Caspio, and its secret from the settings file. The schedule goes on.

    Example: `caspio-sync webhooks uninstall customers`
    """
    settings = current_settings(sync)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError(f"the webhook of {sync} would be deleted; give --yes to have that done")
        typer.confirm(f"Delete the webhook of {sync}?", abort=True)
    definition = load_sync(settings.sync_file(sync))
    if webhooks_back.comes_back(definition):
        webhooks_back.uninstall(definition)
        return
    gone = asyncio.run(_uninstall(settings, sync))
    feeds = _feeds()
    if feeds.pop(sync, None) is not None:
        _write(feeds)
    OUT.print(f"{webhook.name_of(sync)}: {'deleted' if gone else 'there was none in Caspio'}")


async def _uninstall(settings: Settings, sync: str) -> bool:
    connect = CONNECT.get()
    async with connect.caspio(settings, connect.clock) as caspio:
        hooks = OutgoingWebhooks(caspio)
        found = await webhook.look(hooks, sync)
        if found.webhook is not None:
            await hooks.delete(found.webhook.id)
        return found.webhook is not None


@webhooks.command("status")
def status(sync: SyncName, as_json: AsJson = False) -> None:
    """Say how the sync's webhook stands: what Caspio sent, what arrived, what waits, and what only the sweep found.

    Example: `caspio-sync webhooks status customers`
    """
    settings = current_settings(sync)
    definition = load_sync(settings.sync_file(sync))
    if webhooks_back.comes_back(definition):
        told_back = webhooks_back.findings(definition)
        if as_json:
            show_json({"sync": sync, "findings": [each.what for each in told_back]})
            return
        show_findings(told_back)
        return
    table = str(definition.source.table)
    found = asyncio.run(_looked_at(settings, sync))
    connect = CONNECT.get()
    now = connect.clock.now()
    with connect.hints(settings, connect.clock) as hints:
        heard = hints.heard(sync, (now - timedelta(days=KEPT_DAYS)).date())
        waiting, oldest = hints.count_waiting(sync)
    with open_ledger(settings) as ledger:
        share = announced(ledger.runs(sync, limit=10_000))
    told = [*webhook.findings(sync, table, found), *webhook.waiting(sync, waiting, oldest, now)]
    if as_json:
        show_json(
            {
                "sync": sync,
                "installed": found.webhook is not None,
                "urls": [] if found.webhook is None else list(found.webhook.urls),
                "caspio": None if found.webhook is None else found.webhook.counted,
                "received": heard.messages,
                "last_at": None if heard.last_at is None else heard.last_at.isoformat(),
                "waiting": waiting,
                "waiting_since": None if oldest is None else oldest.isoformat(),
                "announced": share.by_hints,
                "found_by_sweep": share.by_sweep,
                "findings": [each.what for each in told],
            }
        )
        return
    show_findings(told)
    if found.webhook is not None:
        OUT.print(f"posts to {', '.join(found.webhook.urls)}", soft_wrap=True)
        for name, count in (found.webhook.counted or {}).items():
            OUT.print(f"  {name.lower():<10} {number(count)} in 30 days, as Caspio counts")
    for line in lines(heard, waiting):
        OUT.print(line)
    OUT.print(share.text)


def lines(heard: Heard, waiting: int) -> list[str]:
    """What arrived, and what waits, for people."""
    counted = ", ".join(f"{outcome} {number(count)}" for outcome, count in heard.messages.items())
    return [f"received in {KEPT_DAYS} days: {counted or 'nothing'}", f"rows that wait to be read: {number(waiting)}"]


async def _looked_at(settings: Settings, sync: str) -> Found:
    connect = CONNECT.get()
    async with connect.caspio(settings, connect.clock) as caspio:
        return await webhook.look(OutgoingWebhooks(caspio), sync)

"""How many events and purchases of people Braze counts (Braze, 6.1): sums over all who sent some, of 90 days."""

from collections.abc import Collection, Sequence
from typing import Any

from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.answers import EXPORT_LIMIT, ExportAnswer, ids_an_export
from caspio_sync.mapping.definition import Named


async def counted(
    account: BrazeAccount, identity: Named, keys: Sequence[str], parts: Sequence[str], names: Collection[str]
) -> list[int | None]:
    """The sum of what is counted of each person; None where nothing is shown, or several profiles bear the key.

    Args:
        account: is asked.
        identity: what the keys are.
        keys: of the people.
        parts: `custom_events`, of which those with one of the names count, and `purchases`, which all do.
        names: of events.
    """
    profiles = await exported(account, identity, keys, parts)
    several = [profiles[key] or () for key in keys]
    sums = [_sum(mine[0], parts, names) if len(mine) == 1 else 0 for mine in several]
    return [each or None for each in sums]


async def exported(
    account: BrazeAccount, identity: Named, keys: Sequence[str], parts: Sequence[str]
) -> dict[str, list[dict[str, Any]] | None]:
    """The profiles that bear each of these keys, with those parts; None where another key was answered.

    A key that was renamed still finds its person, whose profile bears the new one.
    """
    size, paced = ids_an_export(identity.kind), PacedCalls("Braze", EXPORT_LIMIT, account.clock)
    found: dict[str, list[dict[str, Any]] | None] = dict.fromkeys(keys)
    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        answer = await paced.ask(lambda some=some: _asked(account, identity, some, parts))  # type: ignore[misc]
        found |= {key: [] for key in answer.invalid_user_ids if key in found}
        for user in answer.users:
            if (bearer := _key(identity, user, some)) in found:
                found[bearer] = [*(found[bearer] or ()), user]
    return found


async def _asked(account: BrazeAccount, identity: Named, keys: Sequence[str], parts: Sequence[str]) -> ExportAnswer:
    users, fields = account.users, ["external_id", "user_aliases", *parts]
    if identity.kind == "user_alias":
        aliases = [(str(identity.label), key) for key in keys]
        return await users.export_users([], fields, user_aliases=aliases)
    if identity.kind == "email":
        return await users.export_users([], fields, email_address=keys[0])
    if identity.kind == "phone":
        return await users.export_users([], fields, phone=keys[0])
    return await users.export_users(keys, fields)


def _key(identity: Named, user: dict[str, Any], asked: Sequence[str]) -> str | None:
    """By which of the keys that were asked for this one was found."""
    if identity.kind == "external_id":
        return user.get("external_id")
    if identity.kind != "user_alias":
        return asked[0]
    aliases = user.get("user_aliases") or ()
    return next((each["alias_name"] for each in aliases if each["alias_label"] == identity.label), None)


def _sum(user: dict[str, Any], parts: Sequence[str], names: Collection[str]) -> int:
    return sum(
        int(each.get("count") or 0)
        for part in parts
        for each in user.get(part) or ()
        if part == "purchases" or each.get("name") in names
    )

"""The form in which a ledger is kept: its version, and how it writes instants. Known without SQLAlchemy."""

from datetime import UTC, datetime, timedelta

# The newest migration this package knows; a test holds it to the head of `migrations/versions`.
REVISION = "0017"
VERSION_TABLE = "ledger_version"
ALL_SYNCS = ""  # of a pause: no sync can be called so

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """An aware instant as whole microseconds since 1970 in UTC: how the ledger stores time."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(since_epoch: int) -> datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + since_epoch * _MICROSECOND

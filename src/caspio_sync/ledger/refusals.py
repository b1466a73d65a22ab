"""What an error of the database means for who uses a ledger. Known without SQLAlchemy."""

from caspio_sync.errors import CaspioSyncError, ConfigurationError, LedgerFullError, TransientError
from caspio_sync.ledger.moved import MEANING, STATE, TRIGGER

_SQLITE_MEANING: tuple[tuple[str, type[CaspioSyncError], str], ...] = (
    ("SQLITE_BUSY", TransientError, "it is locked by another process. Try again when that run or tool has ended"),
    ("SQLITE_LOCKED", TransientError, "it is locked by another connection. Try again"),
    ("SQLITE_FULL", LedgerFullError, "the disk is full. Free space; what was committed before is kept"),
    ("SQLITE_IOERR", CaspioSyncError, "the disk refused. Check its space and health; committed work is kept"),
    ("SQLITE_READONLY", ConfigurationError, "the file or its folder is read-only. Give this user the right to write"),
    ("SQLITE_CANTOPEN", ConfigurationError, "the file cannot be opened. Check the path and its rights"),
    ("SQLITE_NOTADB", ConfigurationError, "the file is not an SQLite database. Name another file"),
    ("SQLITE_CORRUPT", ConfigurationError, "the file is damaged. Restore it from a backup, or start a new ledger"),
)
_POSTGRESQL_MEANING: tuple[tuple[str, type[CaspioSyncError], str], ...] = (
    ("40", TransientError, "another process wrote at the same time. Try again"),
    ("55P03", TransientError, "it is locked by another process. Try again"),
    ("53100", LedgerFullError, "the database server's disk is full. Free space; what was committed before is kept"),
    ("53", TransientError, "the database server lacks resources. Try again"),
    ("08", TransientError, "the connection was lost. Try again"),
    ("57", TransientError, "the database server is stopping or ended the connection. Try again"),
    ("28", ConfigurationError, "the user or password was refused. Check the ledger's URL"),
    ("3D", ConfigurationError, "the database does not exist. Create it, or correct the ledger's URL"),
    ("25006", ConfigurationError, "the database is read-only (a standby?). Name the one that can be written"),
    (STATE, ConfigurationError, MEANING),
    ("42501", ConfigurationError, "the user lacks a right. Grant it CREATE, SELECT, INSERT, UPDATE and DELETE"),
)


def refusal(cause: BaseException | None, doing: str, where: str) -> CaspioSyncError:
    """The error that tells what the database's own means here; values it may quote stay out."""
    name = getattr(cause, "sqlite_errorname", None)
    state = getattr(cause, "sqlstate", None)
    table, code = (_SQLITE_MEANING, name) if name else (_POSTGRESQL_MEANING, state)
    if name == "SQLITE_CONSTRAINT_TRIGGER" and str(cause) == TRIGGER:  # its own words, which quote nothing
        return ConfigurationError(f"Could not {doing} in {where}: {MEANING}.")
    for prefix, error, meaning in table:
        if code and str(code).startswith(prefix):
            return error(f"Could not {doing} in {where}: {meaning} ({code}).")
    if state is None and type(cause).__name__ == "OperationalError" and name is None:
        return TransientError(
            f"Could not {doing} in {where}: the database cannot be reached. Check that it runs and the ledger's URL."
        )
    return CaspioSyncError(f"Could not {doing} in {where}: {type(cause).__name__} {code or 'without a code'}.")

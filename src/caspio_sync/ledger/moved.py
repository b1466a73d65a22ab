"""The marks of a ledger that was moved to another database, or is being moved into this one."""

# In `meta`: of a ledger that nobody writes any more, and of one of which not all is there yet.
MOVED, ARRIVING = "moved", "arriving"
TRIGGER = "caspio_sync_moved"
"""What the triggers of a closed database, and PostgreSQL's function for them, are called, and what they say."""
TRIGGERED = ("INSERT", "UPDATE", "DELETE")
STATE = "CS001"
"""PostgreSQL's SQLSTATE of that; SQLite has a word of its own."""
FUNCTION_TEXT = f"""\
CREATE OR REPLACE FUNCTION {TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{TRIGGER}' USING ERRCODE = '{STATE}'; END $$
"""
MEANING = (
    "it was moved to another database by `caspio-sync ledger copy`, or is being moved. Name that one in "
    "CASPIO_SYNC_LEDGER_URL and start this process again; `caspio-sync ledger reopen` takes this one back"
)
UNFINISHED = (
    "not all of the ledger that is copied into it is there. Run the same `caspio-sync ledger copy` again: it goes on "
    "where it was interrupted"
)

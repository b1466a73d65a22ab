"""The ways by which contacts travel, and how many at once."""

from caspio_sync.delivery.requests import Envelope

CONTACTS_PER_IMPORT = 250  # ActiveCampaign, bulk import
IMPORT_BYTES = 400_000  # a body is smaller than this (ActiveCampaign, bulk import)
_FILLED_BYTES = 300_000  # names of fields and lists stand in the objects; their ids may be longer
FEW = 10  # contacts: an import is meant for more (ActiveCampaign, bulk import)

# One at a time, each settled by its answer.
SYNC = Envelope("contacts", 1, _FILLED_BYTES, target="sync")
MOVE = Envelope("contacts", 1, _FILLED_BYTES, "PUT", target="move")
# Whose address was that of a contact which is to get another one first.
AFTER = Envelope("contacts", 1, _FILLED_BYTES, target="after a move")
OPT_OUT = Envelope("contacts", 1, _FILLED_BYTES, target="opt out")
# Who enters an automation: of each it is to be known.
ENTER = Envelope("contacts", 1, _FILLED_BYTES, target="enrol")
# Many at a time, settled later; automations run on them, or they do not.
IMPORT = Envelope("contacts", CONTACTS_PER_IMPORT, _FILLED_BYTES, target="import")
QUIET_IMPORT = Envelope("contacts", CONTACTS_PER_IMPORT, _FILLED_BYTES, target="quiet import")
# Nothing but opt-outs, of which none may be lost for what an import refuses: such a one goes on alone.
OPT_OUT_IMPORT = Envelope("contacts", CONTACTS_PER_IMPORT, _FILLED_BYTES, target="opt-out import")
IMPORTS = frozenset({IMPORT, QUIET_IMPORT, OPT_OUT_IMPORT})

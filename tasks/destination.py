"""What happens at a destination, under Prefect."""

from caspio_sync.engine.steps import KEEP, SEND
from caspio_sync.kinds.catalog.line import DELETE_VANISHED, KEEP_SCHEMA
from caspio_sync.kinds.profiles.line import ERASE, IDENTIFY, OPT_OUTS, OPT_OUTS_OF_STAYING
from tasks.options import task_of

erase = task_of(ERASE)
send_opt_outs = task_of(OPT_OUTS)
send_opt_outs_of_staying = task_of(OPT_OUTS_OF_STAYING)
identify = task_of(IDENTIFY)
make_what_is_missing = task_of(KEEP)
send = task_of(SEND)
keep_schema = task_of(KEEP_SCHEMA)
delete_vanished = task_of(DELETE_VANISHED)

"""Sending to Braze under Prefect."""

from caspio_sync.run.catalogs.catalog_line import DELETE_VANISHED, KEEP_SCHEMA
from caspio_sync.run.profile_line import ERASE, IDENTIFY, OPT_OUTS, OPT_OUTS_OF_STAYING
from caspio_sync.run.steps import SEND
from tasks.options import task_of

erase = task_of(ERASE)
send_opt_outs = task_of(OPT_OUTS)
send_opt_outs_of_staying = task_of(OPT_OUTS_OF_STAYING)
identify = task_of(IDENTIFY)
send = task_of(SEND)
keep_schema = task_of(KEEP_SCHEMA)
delete_vanished = task_of(DELETE_VANISHED)

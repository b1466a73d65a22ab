"""Reading from Caspio under Prefect."""

from caspio_sync.engine.line import EXTRACT
from tasks.options import task_of

extract = task_of(EXTRACT)

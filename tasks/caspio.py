"""Reading from Caspio under Prefect."""

from caspio_sync.run.line import EXTRACT
from tasks.options import task_of

extract = task_of(EXTRACT)

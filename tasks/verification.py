"""Reading back after a baseline, under Prefect."""

from caspio_sync.verification.step import VERIFY
from tasks.options import task_of

verify = task_of(VERIFY)

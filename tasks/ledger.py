"""The ledger's part of a run under Prefect: comparing before the gate, recording after the send."""

from caspio_sync.engine.steps import BASELINE, COMPARE, RECORD
from tasks.options import task_of

compare = task_of(COMPARE)
record = task_of(RECORD)
record_baseline = task_of(BASELINE)

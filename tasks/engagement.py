"""The engagement return under Prefect: what Braze told, what rows should hold, and writing it to Caspio."""

from caspio_sync.kinds.engagement.line import GATHER, RECORD_WRITTEN, WANT, WRITE, WRITE_CAMPAIGNS
from tasks.options import task_of

gather = task_of(GATHER)
want = task_of(WANT)
write = task_of(WRITE)
record_written = task_of(RECORD_WRITTEN)
write_campaigns = task_of(WRITE_CAMPAIGNS)

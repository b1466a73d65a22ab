"""Events and purchases under Prefect: which rows were never sent, and sending them once."""

from caspio_sync.kinds.events.line import FIND_UNSENT, SEND_EVENTS
from tasks.options import task_of

find_unsent = task_of(FIND_UNSENT)
send_events = task_of(SEND_EVENTS)

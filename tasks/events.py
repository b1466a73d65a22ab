"""Events and purchases under Prefect: erasures, an order's lines, which rows were never sent, and sending them once."""

from caspio_sync.kinds.events.line import ERASE, FIND_UNSENT, LOOK_FOR_SENT, READ_LINES, SEND_EVENTS
from tasks.options import task_of

erase = task_of(ERASE)
read_lines = task_of(READ_LINES)
find_unsent = task_of(FIND_UNSENT)
look_for_sent_events = task_of(LOOK_FOR_SENT)
send_events = task_of(SEND_EVENTS)

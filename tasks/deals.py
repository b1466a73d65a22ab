"""Deals under Prefect: what they need there, and under which numbers they are known."""

from caspio_sync.kinds.deals.line import FIND_NUMBERS, KEEP
from tasks.options import task_of

keep_deal_fields = task_of(KEEP)
find_numbers = task_of(FIND_NUMBERS)

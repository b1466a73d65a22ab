"""Deals under Prefect: under which numbers they are known there."""

from caspio_sync.kinds.deals.line import FIND_NUMBERS
from tasks.options import task_of

find_numbers = task_of(FIND_NUMBERS)

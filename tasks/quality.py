"""Mapping and judging a batch under Prefect."""

from caspio_sync.engine.steps import GATE, MAP
from caspio_sync.kinds.engagement.line import MAP_ROWS
from tasks.options import task_of

map_rows = task_of(MAP)
map_rows_back = task_of(MAP_ROWS)
judge = task_of(GATE)

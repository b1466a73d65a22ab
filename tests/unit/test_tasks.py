"""Each step of a line that has a name is declared as a task, repeated as the step may be: else no run begins in Prefect."""

import subprocess
import sys

# In a process of its own: no server, and no other test has Prefect in it.
LOOK = """\
from prefect.cache_policies import NO_CACHE

from caspio_sync.engine.kind import kind_named
from caspio_sync.engine.line import EXTRACT
from caspio_sync.registry import KINDS, found
from tasks.line import as_task

lines = [found(kind_named(each).line) for each in KINDS]
steps = [EXTRACT, *(step for line in lines for step in (*line.before, *line.batch, *line.after, *line.closed) if step.name)]
assert len(steps) > 20
for step in steps:
    task = as_task(step)
    assert (task.name, task.retries) == (step.name, 3 if step.repeated else 0), step
    assert (task.cache_policy, task.persist_result, task.log_prints) == (NO_CACHE, False, False), step
    assert (task.retry_condition_fn is not None) == step.repeated, step
"""


def test_each_step_is_declared_and_repeated_as_it_may_be() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

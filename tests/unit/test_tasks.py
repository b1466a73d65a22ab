"""Each step of a line that has a name is declared as a task: else no run begins under Prefect."""

import subprocess
import sys

LOOK = """\
from caspio_sync.engine.kind import kind_named
from caspio_sync.engine.line import EXTRACT
from caspio_sync.registry import KINDS, found
from tasks.line import as_task

lines = [found(kind_named(each).line) for each in KINDS]
for step in (EXTRACT, *(step for line in lines for step in (*line.before, *line.batch, *line.after, *line.closed))):
    as_task(step)
"""


def test_each_step_is_declared() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

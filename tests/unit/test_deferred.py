"""Libraries that are imported when they are first used."""

import subprocess
import sys

import pytest

from caspio_sync import deferred

LEDGER = "import sys; from caspio_sync.ledger import store; from caspio_sync.mapping import row_mapping"


def test_the_ledger_and_the_mapping_are_imported_without_them() -> None:
    names = {"numpy", "phonenumbers", "pycountry"}
    program = f"{LEDGER}; sys.exit(', '.join({names!r} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", deferred.__all__)
def test_what_is_asked_of_them_is_theirs(name: str) -> None:
    library = getattr(deferred, name)
    assert library.__version__ if name == "np" else library.__name__.rpartition(".")[2] == name
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = library.no_such_thing


def test_what_is_used_of_them_is_the_same_object() -> None:
    import numpy as np

    assert deferred.np.uint64 is np.uint64

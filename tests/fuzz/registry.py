"""All targets by name, and the fuzz of one of them."""

import logging
import warnings

from tests.fuzz import kept
from tests.fuzz.judging import Target
from tests.fuzz.loop import Fuzzer, Report
from tests.fuzz.targets import (
    any_posts,
    braze_answers,
    caspio_answers,
    cells,
    currents_posts,
    settings_files,
    sync_files,
)

TARGETS: dict[str, Target] = {
    each.TARGET.name: each.TARGET
    for each in (any_posts, braze_answers, caspio_answers, cells, currents_posts, settings_files, sync_files)
}


def fuzz(name: str, seconds: float, seed: int) -> Report:
    """Fuzz one target, in this process, from its seeds and what was found before."""
    warnings.simplefilter("ignore")
    logging.disable()
    known = tuple(data for _, data in kept.inputs(name))
    return Fuzzer(TARGETS[name], seed, known).run(seconds=seconds)

"""The table in README.md is true: its files are there and name their sections, and no switch goes untested."""

import re
from pathlib import Path

import pytest

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour

HERE = Path(__file__).parent
TABLE = re.findall(
    r"^\| (Caspio|Braze|ActiveCampaign) \| ([\d.]+) \| .+ \| (\w+\.py) \|$",
    (HERE / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
TESTS = "\n".join(
    path.read_text(encoding="utf-8") for path in Path(HERE.parent).rglob("*.py") if path != Path(__file__)
)


def sections_named(text: str) -> set[str]:
    """The sections a file names; `3.1 to 3.3` names those between as well."""
    named = set(re.findall(r"\b\d{1,2}(?:\.\d)?\b", text))
    for major, first, last in re.findall(r"\b(\d+)\.(\d+) to \1\.(\d+)", text):
        named |= {f"{major}.{minor}" for minor in range(int(first), int(last) + 1)}
    for first, last in re.findall(r"[Ss]ections (\d+) to (\d+)\b", text):
        named |= {f"{major}.{minor}" for major in range(int(first), int(last) + 1) for minor in range(1, 11)}
    for major in re.findall(r"[Ss]ections? (?:[\d., ]*and |[\d., ]*)?(\d+)\b(?!\.)", text) + re.findall(
        r"[Ss]ections (\d+),", text
    ):
        named |= {f"{major}.{minor}" for minor in range(1, 11)}
    return named


@pytest.mark.parametrize(("page", "section", "file"), TABLE)
def test_a_section_is_named_by_the_file_that_tests_it(page: str, section: str, file: str) -> None:
    told = "\n".join(
        line for line in (HERE / file).read_text(encoding="utf-8").splitlines() if re.match(r'\s*(#|""")', line)
    )
    assert section in sections_named(told), f"{page} {section}"


def test_the_table_holds_every_section_of_profile_syncs() -> None:
    assert len(TABLE) >= 33
    assert {file for _, _, file in TABLE} == {
        path.name
        for path in HERE.glob("test_*_*.py")
        if path.name.split("_")[1] in {"caspio", "braze", "activecampaign"}
    }


# Told by the emulator itself, not by a vendor.
OWN = {"seed", "journal_limit", "latency_ms"}
SWITCHES = {name for each in (BrazeBehaviour, CaspioBehaviour, ActiveCampaignBehaviour) for name in each.model_fields}


@pytest.mark.parametrize("switch", sorted(SWITCHES - OWN))
def test_every_switch_is_played_by_a_test(switch: str) -> None:
    assert re.search(rf"\b{switch}\b", TESTS), switch

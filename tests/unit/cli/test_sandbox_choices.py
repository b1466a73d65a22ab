"""What `sandbox up` lets a user choose: every switch of the emulators, and views."""

from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour
from caspio_sync.sandbox.caspio.views import make_view
from caspio_sync.sandbox.choices import read_switches, switches
from caspio_sync.sandbox.http.behaviour import HttpBehaviour
from tests.contract.conftest import a_filled_account, get


@pytest.mark.parametrize(
    ("settings", "caspio", "braze"),
    [
        ([], {}, {}),
        (["caspio.numbers_as_text=refused"], {"numbers_as_text": "refused"}, {}),
        (["caspio.calls_per_second=5", "braze.rate = mau"], {"calls_per_second": 5}, {"rate": "mau"}),
        (["caspio.calls_per_second=null"], {"calls_per_second": None}, {}),
        (["caspio.client_secret=123"], {"client_secret": "123"}, {}),
        (['caspio.hidden_objects=["Orders"]'], {"hidden_objects": ["Orders"]}, {}),
        (["braze.currents=true", "braze.currents=false"], {}, {"currents": False}),
        (['braze.keys={"k":["users.track"]}'], {}, {"keys": {"k": ["users.track"]}}),
    ],
)
def test_switches_are_read_and_hold(settings: list[str], caspio: dict[str, Any], braze: dict[str, Any]) -> None:
    read = read_switches(settings)
    assert read == {"caspio": caspio, "braze": braze, "activecampaign": {}, "http": {}}
    CaspioBehaviour(**read["caspio"])
    BrazeBehaviour(**read["braze"])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("caspio.number_as_text=refused", "did you mean caspio.numbers_as_text"),
        ("numbers_as_text=refused", "did you mean caspio.numbers_as_text"),
        ("caspio.numbers_as_text=refuse", "takes accepted | refused"),
        ("braze.burst_limit=many", "takes whole number"),
        ("braze.rate", "emulator.switch=value"),
        ("x=1", "sandbox switches"),
    ],
)
def test_what_is_no_switch_is_refused_by_name(setting: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match="--set") as error:
        read_switches([setting])
    assert told in str(error.value)


def test_every_switch_is_listed_with_what_it_may_be() -> None:
    listed = {switch.name: switch for switch in switches()}
    emulated: dict[str, type[BaseModel]] = {
        "caspio": CaspioBehaviour,
        "braze": BrazeBehaviour,
        "activecampaign": ActiveCampaignBehaviour,
        "http": HttpBehaviour,
    }
    assert set(listed) == {f"{kind}.{name}" for kind, each in emulated.items() for name in each.model_fields}
    assert listed["caspio.numbers_as_text"][1:] == ("accepted | refused", "accepted")
    shown = CliRunner().invoke(app, ["sandbox", "switches"])
    assert shown.exit_code == 0
    assert [name for name in listed if name not in shown.output] == []


def test_a_switch_of_the_third_emulator_is_read() -> None:
    read = read_switches(["activecampaign.import_ends=never", "activecampaign.deletes_a_month=3"])["activecampaign"]
    assert read == {"import_ends": "never", "deletes_a_month": 3}
    ActiveCampaignBehaviour(**read)


def test_a_view_is_made_from_its_query() -> None:
    sandbox = a_filled_account(5)
    make_view(sandbox, "Big = select No, Orders from T where Orders >= 3 AND City <> 'a=b'")
    assert get(sandbox, "views/Big/records").json()["Result"] == [
        {"PK_ID": "3", "No": "A-3", "Orders": 3},
        {"PK_ID": "4", "No": "A-4", "Orders": 4},
    ]


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("Big", "NAME=SELECT"),
        ("Big=SELECT No FROM Nowhere", "'Nowhere' was not found"),
        ("Big=SELECT Nope FROM T", "Nope"),
        ("Big=SELECT No FROM T WHERE Orders >", "Incorrect syntax"),
    ],
)
def test_a_view_that_cannot_be_made_is_refused(view: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match="--view") as error:
        make_view(a_filled_account(1), view)
    assert told in str(error.value)

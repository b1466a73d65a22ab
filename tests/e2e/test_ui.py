"""Prefect's UI as an operations person has it: headless Chromium on `caspio-sync serve`, nothing loaded from outside.

Deployments listed, a schedule paused, a run started through the form, its summary read, the schedule on again. With
CASPIO_SYNC_SCREENSHOTS=docs/images the test writes the pictures of the README anew.
"""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dotenv import dotenv_values
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (CHROMIUM.exists() and DRIVER.exists()),
        reason="no Chromium here: apt-get install -y --no-install-recommends chromium chromium-driver",
    ),
]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,1000",
)


class Browser:
    """Chromium, and what it loaded."""

    def __init__(self, base: str, profile: Path, secrets: list[str]) -> None:
        self.base, self.secrets = base, secrets
        self.loaded: list[str] = []
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self.patience = WebDriverWait(self.driver, 120, ignored_exceptions=(StaleElementReferenceException,))

    def open(self, path: str) -> None:
        self.look()
        self.driver.get(self.base + path)

    def find(self, xpath: str) -> WebElement:
        """The first that is shown, once one is."""
        return self.patience.until(
            lambda driver: next((each for each in driver.find_elements(By.XPATH, xpath) if each.is_displayed()), None),
            f"{xpath} on {self.driver.current_url}",
        )

    def click(self, xpath: str) -> None:
        def clicked(driver: Any) -> bool:
            self.find(xpath).click()
            return True

        self.patience.until(clicked)

    def submit(self) -> None:
        """Submit a form; again where it stays, as a person would: SQLite may have been locked for seconds."""
        form = self.driver.current_url
        for _ in range(5):
            self.click("//button[normalize-space()='Submit']")
            try:
                WebDriverWait(self.driver, 30).until(lambda driver: driver.current_url != form)
            except TimeoutException:
                continue
            return
        raise AssertionError(f"the form was not taken: {self.text()}")

    def shows(self, *texts: str) -> None:
        """Wait until the page shows all of them."""
        for text in texts:
            self.patience.until(partial(self._bears, text), f"{text!r} on {self.driver.current_url}")
        self.look()

    def _bears(self, text: str, _driver: object) -> bool:
        return text in self.text()

    def text(self) -> str:
        return self.find("//body").text

    def table(self, heading: str) -> dict[str, list[str]]:
        """The rows of the table whose first column is called so, by that column."""
        rows = self.find(f"//table[.//th[1][normalize-space()='{heading}']]").find_elements(By.TAG_NAME, "tr")[1:]
        cells = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
        return {first: rest for first, *rest in cells}

    def look(self) -> None:
        """Note what was loaded so far; no secret stands on the page."""
        page = self.driver.page_source
        assert not [secret for secret in self.secrets if secret in page], self.driver.current_url
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.loaded.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.loaded.append(message["params"]["url"])

    def picture(self, name: str, height: int) -> None:
        """Write it where CASPIO_SYNC_SCREENSHOTS names a folder."""
        if folder := os.environ.get("CASPIO_SYNC_SCREENSHOTS"):
            self.driver.set_window_size(1280, height)
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(folder, name)))
            assert Path(folder, name).stat().st_size < 200_000, f"{name} is large for a README"


@pytest.fixture
def browser(machine: Any, until: Any, tmp_path: Path) -> Iterator[Browser]:
    until("the UI", lambda: "UI: http" in machine.said() or machine.process.poll() is not None)
    assert machine.process.poll() is None, machine.said()
    accounts = dotenv_values(machine.folder / ".caspio-sync" / "sandbox" / "sandbox.env")
    secrets = [accounts["CASPIO_CLIENT_SECRET"] or "", accounts["BRAZE_API_KEY"] or ""]
    assert all(secrets)
    made = Browser(f"http://127.0.0.1:{machine.port}", tmp_path / "chromium", secrets)
    yield made
    made.driver.quit()


def exactly(text: str) -> str:
    """The innermost element with this text."""
    return f"//*[normalize-space()='{text}'][not(*[normalize-space()='{text}'])]"


def parameter(title: str) -> str:
    """A field of the form, with its label, help text and input."""
    label = f"span[contains(@class,'schema-form-property__label') and starts-with(.,'{title}')]"
    return f"//{label}/ancestor::div[contains(@class,'schema-form-property')][contains(@class,'p-label')][1]"


def test_an_operations_person_finds_starts_and_understands_a_run(machine: Any, until: Any, browser: Browser) -> None:
    def deployment() -> Any:
        return next(each for each in machine.api("deployments/filter", {}) if each["name"] == "customers")

    def switch(*, on: bool) -> None:
        browser.open(f"/deployments/deployment/{deployment()['id']}")
        before = deployment()
        assert [each["active"] for each in before["schedules"]] == [not on]
        browser.click(f"//*[@role='switch'][@aria-checked='{str(not on).lower()}']")
        until("the schedule's switch", lambda: [each["active"] for each in deployment()["schedules"]] == [on])
        after = deployment()
        assert after["parameters"] == before["parameters"] == {"parameters": {"sync": "customers"}}
        # What a schedule of its own parameters would lose here; it has none.
        assert [each["parameters"] for each in after["schedules"]] == [{}]

    # Every deployment is listed; its page tells what it does, and how it is tagged.
    browser.open("/deployments")
    browser.shows("3 Deployments")
    for name, kind, tells in (
        ("customers", "profiles", "Reads what changed since the last run"),
        ("customers-nightly", "profiles", "Reads all rows and sends what differs"),
        ("housekeeping", "housekeeping", "Removes what is old"),
    ):
        browser.open("/deployments")
        browser.click(f"//a[normalize-space()='{name}']")
        browser.click("//li[normalize-space()='Description']")
        browser.shows(tells, "caspio-sync", kind)
        browser.click("//li[normalize-space()='Configuration']")
        browser.look()

    switch(on=False)
    until("quiet", lambda: machine.is_quiet(deployment()["id"]))

    # The form explains every parameter.
    browser.click("//button[normalize-space()='Run']")
    browser.click(exactly("Custom run"))
    definitions = deployment()["parameter_openapi_schema"]["definitions"]
    helps = {name: each["description"] for name, each in definitions["ProfileSyncParameters"]["properties"].items()}
    assert {"sync", "full", "limit", "keys", "since"} <= set(helps)
    browser.shows(*helps.values())
    browser.click(f"{parameter('Limit')}//button[normalize-space()='int']")
    browser.find(f"{parameter('Limit')}//input").send_keys("10")
    browser.picture("custom-run.png", 1180)
    browser.submit()

    ended = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}, "limit": 200}

    def by_hand() -> Any:
        return next((each for each in machine.api("flow_runs/filter", ended) if not each["auto_scheduled"]), None)

    started = until("the end of the run by hand", by_hand)
    assert started["state"]["name"].startswith("Completed"), started["state"]
    assert started["parameters"]["parameters"]["limit"] == 10
    report = machine.newest()
    assert (report.flow_run_id, report.report["read"]) == (started["id"], 10)

    # Its page has the log and the summary.
    browser.open(f"/runs/flow-run/{started['id']}")
    browser.shows("customers: 10 rows read")
    for tab in ("Parameters", "Job Variables"):
        browser.click(f"//li[normalize-space()='{tab}']")
        browser.look()
    browser.click("//li[normalize-space()='Artifacts']")
    browser.click("//a[contains(.,'customers-summary')]")
    browser.shows("customers: done", "10 rows read")
    assert browser.table("Rows")["read"] == ["10", "from Caspio, which counted 10"]

    # On again, it fires, and the first run of all rows has verdicts, reasons and the gate to show.
    switch(on=True)
    found = until("a run by schedule", lambda: machine.flow_runs("CompletedWithRejects", auto_scheduled=True))
    whole = min(found, key=lambda each: each["start_time"])
    summaries = machine.api(
        "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [whole["id"]]}, "type": {"any_": ["markdown"]}}}
    )
    browser.open(f"/artifacts/artifact/{summaries[0]['id']}")
    browser.shows("customers: done", "Not sent", "Freshness", "Gate", "Requests")
    rows = browser.table("Rows")
    assert rows["quarantined"][1] == "set aside by our gate; it waits for a person"
    assert int(rows["read"][0].replace(",", "")) > 4000
    assert "quarantined" in browser.table("Verdict")
    assert browser.table("Expectation")["email_format"][0] == "critical"
    browser.picture("run-summary.png", 1280)

    hosts = {urlsplit(url).netloc for url in browser.loaded if urlsplit(url).scheme in {"http", "https", "ws", "wss"}}
    assert hosts == {f"127.0.0.1:{machine.port}"}

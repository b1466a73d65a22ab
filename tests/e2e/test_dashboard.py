"""The page in headless Chromium, on real runs against the emulators: light and dark, wide and narrow, by keyboard.

With CASPIO_SYNC_SCREENSHOTS=docs/images the test writes the pictures of the docs anew.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from caspio_sync.cli.sandbox import environment
from caspio_sync.sandbox.server import SandboxProcesses

ROOT = Path(__file__).parents[2]
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
DAY = 86_400_000_000
KEY = "100001"
PICTURES = {
    "page-overview-wide-light.png",
    "page-sync-wide-dark.png",
    "page-sync-narrow-light.png",
    "page-person-narrow-dark.png",
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (CHROMIUM.exists() and DRIVER.exists()),
        reason="no Chromium here: apt-get install -y --no-install-recommends chromium chromium-driver",
    ),
]


def former_days(ledger: Path) -> None:
    """Runs of the twenty-nine days before, as the first one was, with other counts."""
    with closing(sqlite3.connect(ledger)) as database, database:
        found = database.execute("SELECT started_at, ended_at, report FROM run WHERE sync = 'customers'").fetchone()
        for back in range(1, 30):
            report = json.loads(found[2])
            sent = 40 + (back * 37) % 61
            report |= {
                "sent": sent,
                "verdicts": {"sent": sent, "quarantined": back % 4},
                "data_points": 3 * sent,
                "caspio_calls": 9,
            }
            took = found[1] - found[0] + (back % 5) * 1_000_000
            values = (
                f"former-{back}",
                "customers",
                "profiles",
                "incremental",
                found[0] - back * DAY,
                found[0] - back * DAY + took,
            )
            database.execute(
                "INSERT INTO run (id, sync, kind, mode, started_at, ended_at, state, exit_code, report) "
                "VALUES (?, ?, ?, ?, ?, ?, 'done', 0, ?)", (*values, json.dumps(report)),
            )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two syncs that ran, one of them late, one that nobody has run; and the address that `ui` printed."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "syncs").mkdir()
    for name in ("customers", "products"):
        text = (ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8")
        promise = "10d" if name == "customers" else "1s"
        lines = [line for line in text.splitlines() if not line.startswith("freshness:")]
        (folder / "syncs" / f"{name}.yaml").write_text("\n".join([*lines, f"freshness: {promise}\n"]), encoding="utf-8")
    with SandboxProcesses(rows=400) as processes:
        own = environment(processes, folder / "home") | {"CASPIO_SYNC_SYNCS": str(folder / "syncs")}
        own = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **own}

        def start(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-u", "-m", "caspio_sync", *arguments]
            return subprocess.Popen(command, cwd=folder, env=own, text=True, stdout=subprocess.PIPE)

        for name in ("customers", "products"):
            done = start("run", name)
            said, _ = done.communicate(timeout=300)
            assert done.returncode == 0, said
        former_days(folder / "home" / "ledger.db")
        server = start("ui", "--port", "0")
        assert server.stdout is not None
        try:
            yield server.stdout.readline().removeprefix("open ").strip()
        finally:
            server.terminate()
            assert server.wait(20) == 0
            server.stdout.close()


class Browser:
    """Chromium on the page."""

    def __init__(self, profile: Path, address: str, *, width: int, dark: bool) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "hide-scrollbars",
                     "disable-background-networking", "disable-component-update", "disable-sync", f"user-data-dir={profile}"):  # fmt: skip
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self.base = address.split("/#", maxsplit=1)[0]
        size = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.name = f"{'narrow' if width < 600 else 'wide'}-{'dark' if dark else 'light'}"

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    def find(self, css: str) -> Any:
        return WebDriverWait(self.driver, 30).until(
            lambda driver: next(iter(driver.find_elements(By.CSS_SELECTOR, css)), None), css
        )

    def text(self) -> str:
        return str(self.find("body").text)

    def fits(self) -> None:
        """Nothing is wider than the window."""
        wide = self.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, self.driver.current_url

    def focused(self) -> str:
        return str(self.driver.execute_script("return document.activeElement.outerHTML"))

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def picture(self, name: str) -> None:
        folder, file = os.environ.get("CASPIO_SYNC_SCREENSHOTS"), f"{name}-{self.name}.png"
        if folder and file in PICTURES:
            self.driver.save_screenshot(str(Path(folder, file)))
            assert Path(folder, file).stat().st_size < 200_000, f"{file} is large for a page of the docs"

    def loaded(self) -> set[str]:
        found = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]  # type: ignore[no-untyped-call]
        urls = [each["params"]["request"]["url"] for each in found if each["method"] == "Network.requestWillBeSent"]
        assert not [url for url in urls if KEY in url or "token=" in url.split("#")[0]]
        return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme in {"http", "https", "ws", "wss"}}


@pytest.fixture(
    params=[(1280, False), (1280, True), (390, False), (390, True)], ids=["wide", "wide dark", "phone", "phone dark"]
)
def browser(request: pytest.FixtureRequest, page: str, tmp_path: Path) -> Iterator[Browser]:
    width, dark = request.param
    made = Browser(tmp_path, page, width=width, dark=dark)
    yield made
    try:
        assert made.loaded() == {urlsplit(made.base).netloc}
        assert made.driver.get_log("browser") == []  # type: ignore[no-untyped-call]  # neither errors nor refusals of the policy
    finally:
        made.driver.quit()


def test_the_pages_fit_show_what_is_there_and_load_nothing_from_outside(page: str, browser: Browser) -> None:
    browser.driver.get(page)
    WebDriverWait(browser.driver, 30).until(lambda driver: "token" not in driver.current_url)
    shown = browser.text()
    assert "late: changes are read up to" in shown
    assert shown.index("products") < shown.index("customers")
    browser.fits()
    browser.picture("page-overview")

    browser.open("/sync/customers")
    assert (
        len(
            WebDriverWait(browser.driver, 30).until(
                lambda driver: driver.find_elements(By.CSS_SELECTOR, ".u-wrap canvas")
            )
        )
        == 6
    )
    for figure in browser.driver.find_elements(By.CSS_SELECTOR, "#charts figure"):
        assert figure.size["width"] <= browser.driver.execute_script("return window.innerWidth")
    assert "email_format" in browser.text()
    browser.fits()
    browser.picture("page-sync")
    browser.find('a[href="?days=90"]').click()
    assert "The last 90 days" in browser.text()

    browser.find("[data-copy]").click()
    WebDriverWait(browser.driver, 10).until(lambda driver: driver.find_element(By.ID, "said").text)

    browser.find("#run-table a").click()
    assert browser.find("#gate-table")
    browser.fits()

    browser.open("/person")
    browser.find("select[name=sync]").send_keys("customers")
    key = browser.find("input[name=key]")
    key.send_keys(KEY, Keys.ENTER)
    assert browser.find("#field-table")
    assert KEY not in browser.driver.current_url
    assert browser.driver.current_url.endswith("/person")
    browser.fits()
    browser.picture("page-person")
    emails = {row.find_element(By.TAG_NAME, "th").text: row.find_elements(By.TAG_NAME, "td")[0].text
              for row in browser.driver.find_elements(By.CSS_SELECTOR, "#field-table tbody tr")}  # fmt: skip
    assert set(emails["email"]) <= set("x9@.-_+"), "values are masked until they are asked for"


def test_the_page_is_used_by_the_keyboard_and_renews_itself_where_one_is(page: str, tmp_path: Path) -> None:
    browser = Browser(tmp_path, page, width=1280, dark=False)
    try:
        browser.open("/")
        browser.press(Keys.TAB)
        assert "Skip to the page" in browser.focused()
        for _ in range(3):
            browser.press(Keys.TAB)
        assert "A person" in browser.focused()
        browser.press(Keys.TAB)
        assert "/sync/products" in browser.focused()
        browser.driver.execute_script("document.querySelector('#cards .calls').textContent = 'before'")
        browser.driver.execute_script(
            "return htmx.ajax('GET', '/', {target: '#cards', select: '#cards', swap: 'outerMorph'})"
        )
        WebDriverWait(browser.driver, 30).until(
            lambda driver: "before" not in driver.find_element(By.CSS_SELECTOR, ".calls").text
        )
        assert "/sync/products" in browser.focused(), "what is renewed keeps the place of the keyboard"
        browser.press(Keys.ENTER)
        WebDriverWait(browser.driver, 30).until(lambda driver: driver.current_url.endswith("/sync/products"))
    finally:
        browser.driver.quit()

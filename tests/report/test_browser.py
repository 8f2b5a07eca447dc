"""The pages in a real browser: nothing on the console, nothing asked of the network, everything drawn and reachable."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepack.report.comparison import compared
from edgepack.report.contents import Report, reported
from edgepack.report.page import MOST_BYTES, rendered
from edgepack.report.subject import opened

pytestmark = pytest.mark.slow

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = {"desktop": 1200, "phone": 390}
DRAWN = """
return [...document.querySelectorAll('svg[role=img], main img')].filter(one => {
  let place = one.getBoundingClientRect();
  return !(place.width > 20 && place.height > 8) || (one.tagName === 'IMG' && !one.naturalWidth)
      || (one.tagName !== 'IMG' && !one.querySelector('path, rect, line'));
}).map(one => one.getAttribute('aria-label') || one.alt);
"""


def axe_core() -> Path:
    """axe.min.js of the npm package axe-core, in EDGEPACK_AXE or a node_modules above."""
    named = os.environ.get("EDGEPACK_AXE")
    places = (
        [Path(named)]
        if named
        else [each / "node_modules/axe-core/axe.min.js" for each in Path(__file__).parents]
    )
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        pytest.skip("axe-core is not here: npm install axe-core, and set EDGEPACK_AXE to its axe.min.js")
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium, driven by Selenium, with its console and its requests written down."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    running.set_script_timeout(60)
    running.set_page_load_timeout(60)
    yield running
    running.quit()


@pytest.fixture(scope="module", params=["run", "package", "failed", "diff"])
def page_file(
    request: pytest.FixtureRequest, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    target = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    target.write_text(rendered("report.html.jinja", report=_report(request.param, run_folder, target.parent)))
    return target


def _report(kind: str, run_folder: Path, scratch: Path) -> Report:
    package = run_folder / "owls.edgepack"
    if kind == "diff":
        return compared(opened(run_folder), opened(package), {"latency": 0.1}, measure=False).report
    if kind == "failed":
        folder = Path(shutil.copytree(run_folder, scratch / "failed"))
        told = json.loads((folder / "build.json").read_text())
        for item in (told, told["packages"][0]):
            item |= {"status": "failed", "reasons": ["size: file_bytes is 9,001 B, more than max_file_bytes"]}
        (folder / "build.json").write_text(json.dumps(told))
        return reported(opened(folder), opened(package))
    return reported(opened(run_folder if kind == "run" else package))


def shown(browser: Any, page: Path, width: int, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_a_page_is_whole_quiet_and_accessible(browser: Any, page_file: Path, width: str, scheme: str) -> None:
    axe = axe_core()
    assert page_file.stat().st_size < MOST_BYTES
    browser.get_log("browser"), browser.get_log("performance")
    shown(browser, page_file, WIDTHS[width], scheme)
    assert browser.execute_script(DRAWN) == [], "a picture is not drawn"
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= WIDTHS[width], "the page scrolls sideways"
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    requests = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        each["params"]["request"]["url"] for each in requests if each["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    browser.execute_script(axe.read_text())
    found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
    assert [(each["impact"], each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_no_name_runs_as_script(browser: Any, page_file: Path) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    shown(browser, page_file, 1200, "light")
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text


def test_a_table_is_sorted_from_the_keyboard(browser: Any, page_file: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    shown(browser, page_file, 1200, "light")
    heads = browser.find_elements(By.CSS_SELECTOR, "#layers table.sortable thead th")
    place, head = next((n, each) for n, each in enumerate(heads) if each.text.startswith(("Bytes", "New")))
    button = head.find_element(By.TAG_NAME, "button")

    def values() -> list[float]:
        rows = browser.find_elements(By.CSS_SELECTOR, "#layers table.sortable tbody tr")
        return [
            float(row.find_elements(By.CSS_SELECTOR, "th, td")[place].get_attribute("data-value"))
            for row in rows
        ]

    button.send_keys(Keys.ENTER)
    assert values() == sorted(values()) and head.get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.SPACE)
    assert values() == sorted(values(), reverse=True) and head.get_attribute("aria-sort") == "descending"


def test_the_theme_can_be_chosen(browser: Any, page_file: Path) -> None:
    from selenium.webdriver.common.by import By

    shown(browser, page_file, 1200, "dark")
    colour = "return getComputedStyle(document.body).backgroundColor"
    dark = browser.execute_script(colour)
    browser.find_element(By.CSS_SELECTOR, "button.theme").click()
    assert browser.execute_script(colour) != dark

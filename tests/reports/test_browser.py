"""A report in a real browser: nothing is asked of a network, nothing complains, every chart is drawn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_python

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALL_DRAWN = (
    "document.querySelectorAll('.chart').length == document.querySelectorAll('.chart[data-drawn]').length"
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def report(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    done = run_python("-m", "tune_dd.cli", "report", str(swept), "--out", str(path), cwd=path.parent)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1400, 400])
def test_it_opens_offline_without_complaint(browser: Any, report: Path, width: int) -> None:
    told: list[str] = []
    asked: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, offline=True)
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_function(ALL_DRAWN)
    sizes = page.eval_on_selector_all(
        ".chart svg", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert len(sizes) >= 8 and min(sizes) > 20
    assert told == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_a_point_leads_to_its_row_and_rows_are_sorted_and_filtered(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(report.as_uri())
    page.wait_for_function(ALL_DRAWN)
    page.locator("#chart-0-trials .mark-symbol.role-mark path").first.click(force=True)
    assert page.locator("#all tr.found").count() == 1
    page.get_by_role("button", name="CPU s").click()
    cost = page.eval_on_selector_all("#all tbody tr", "rows => rows.map(row => +row.cells[8].dataset.value)")
    assert cost == sorted(cost, reverse=True)
    page.fill("#filter", "kernel_ridge")
    shown = page.locator("#all tbody tr:visible")
    texts = shown.all_inner_texts()
    assert texts and all("kernel_ridge" in text for text in texts) and len(texts) < len(cost)
    page.close()

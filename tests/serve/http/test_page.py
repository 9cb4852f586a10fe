"""The page in a real browser: Debian's chromium, driven by playwright. Skipped where /usr/bin/chromium is missing.

`SCREENSHOTS=DIR pytest ...` keeps pictures to look at.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fulmen.serve.http import AppSettings, GateSettings
from tests.serve.http.conftest import Running, make_app, running
from tests.serve.http.scripted import SCRIPTS, ScriptedWorker

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, served: Running) -> Iterator[Page]:
    """The page, opened; whatever it logs as an error, or loads from elsewhere, fails the test."""
    faults: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(served.url) else faults.append(request.url))
    page.goto(served.url)
    expect(page.locator("#model")).to_have_text("scripted")
    yield page
    context.close()
    # Chromium logs every refusal as an error, also those that a test asks for.
    assert [fault for fault in faults if not fault.startswith("data:") and "status of 400" not in fault] == []


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def shot(page: Page, name: str) -> None:
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png")


def test_an_answer_is_shown_as_it_was_written(page: Page) -> None:
    """Markup that a model writes is text."""
    say(page, "markup")
    expect(page.locator(".assistant .text")).to_have_text(SCRIPTS["markup"].text)
    expect(page.locator(".assistant .text *")).to_have_count(0)
    expect(page.locator(".assistant .foot")).to_contain_text("tokens/s")
    expect(page.locator(".user .text")).to_have_text("markup")


def test_thinking_is_folded(page: Page) -> None:
    say(page, "think")
    expect(page.locator(".assistant .text")).to_have_text("It is 4.")
    thinking = page.locator(".thinking pre")
    expect(thinking).to_be_hidden()
    page.locator(".thinking summary").click()
    expect(thinking).to_be_visible()
    expect(thinking).to_have_text("two and two")


def test_calls_are_shown_and_answered(page: Page, served: Running) -> None:
    page.locator("#settings summary").click()
    page.locator("#tools").fill(json.dumps(TOOLS))
    say(page, "call")
    expect(page.locator(".call b")).to_have_text("weather")
    expect(page.locator(".call pre").first).to_have_text('{"city": "Paris"}')
    page.get_by_label("Result of weather").fill("sunny")
    page.get_by_role("button", name="Send results").click()
    expect(page.locator(".assistant")).to_have_count(2)
    expect(page.locator(".call").first).to_contain_text("→ sunny")


def test_settings_are_sent(page: Page, served: Running) -> None:
    page.locator("#settings summary").click()
    for field, value in (("temperature", "0.25"), ("top_p", "0.5"), ("max_tokens", "3"), ("thinking_budget", "9")):
        page.locator(f"#{field}").fill(value)
    page.locator("#system").fill("Be brief.")
    say(page, "long")
    expect(page.locator(".assistant .foot")).to_contain_text("3 tokens")
    expect(page.locator(".assistant .foot")).to_contain_text("length")
    sampling = served.worker.requests[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.25, 0.5, 3)
    assert sampling.thinking_budget == 9


def test_stop_ends_the_request(page: Page, served: Running) -> None:
    cancelled = served.worker.num_cancelled
    say(page, "endless")
    expect(page.locator(".assistant .text")).to_contain_text("word")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".assistant .foot")).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    page.wait_for_timeout(200)
    assert served.worker.num_cancelled == cancelled + 1
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_errors_are_shown(page: Page) -> None:
    page.locator("#settings summary").click()
    page.locator("#max_tokens").fill("100000")
    say(page, "breaks")
    expect(page.locator(".assistant .error")).to_contain_text("2048 tokens")


def test_key(browser: Browser) -> None:
    """With a key, the browser asks for it before it shows anything, and the page needs it for its own requests."""
    worker = ScriptedWorker()
    app = make_app(worker, AppSettings(model_name="scripted", max_length=2048, gate=GateSettings(api_key="sesame")))
    with running(app, worker) as server:
        assert httpx2.get(server.url).status_code == 401
        context = browser.new_context(http_credentials={"username": "any", "password": "sesame"})
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#model")).to_contain_text("no API key")
        page.locator("#key").fill("sesame")
        page.locator("#key").blur()
        expect(page.locator("#model")).to_have_text("scripted")
        say(page, "plain")
        expect(page.locator(".assistant .text")).to_have_text(SCRIPTS["plain"].text)
        context.close()


@pytest.mark.parametrize(("width", "height", "scheme"), [(1200, 800, "light"), (360, 640, "light"), (360, 640, "dark")])
def test_any_width_and_scheme(page: Page, width: int, height: int, scheme: str) -> None:
    """Nothing is wider than a phone, and text differs from its ground."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.locator("#settings summary").click()
    page.locator("#tools").fill(json.dumps(TOOLS))
    shot(page, f"settings-{width}-{scheme}")
    page.locator("#settings summary").click()
    for text in ("think", "x" * 300, "call"):
        say(page, text)
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
        expect(page.locator(".assistant .foot").last).to_contain_text("tokens")
    expect(page.locator(".call").first).to_be_visible()
    shot(page, f"chat-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('main').scrollWidth") <= width
    style = "getComputedStyle(document.body)"
    light = {
        name: sum(map(int, page.evaluate(f"{style}.{name}.match(/\\d+/g).slice(0, 3)")))
        for name in ("color", "backgroundColor")
    }
    assert (light["color"] > light["backgroundColor"]) == (scheme == "dark")
    assert abs(light["color"] - light["backgroundColor"]) > 450


def test_nothing_foreign_runs(served: Running) -> None:
    """The policy lets nothing in but the page's own script and style, by a number that is new each time."""
    first, second = httpx2.get(served.url), httpx2.get(served.url)
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "unsafe" not in policy
    assert policy != second.headers["content-security-policy"]
    assert "{{nonce}}" not in first.text
    assert "http:" not in first.text
    assert "https:" not in first.text
    assert "innerHTML" not in first.text

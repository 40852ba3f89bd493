"""The site in a real browser, the system's Chromium: by mouse, by keyboard alone, on a phone, for two at once."""

import base64
import io
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys import pictures, small_cnn

import likethat as lt
from likethat.serve import application

pytest.importorskip("playwright", reason="tests in a browser need playwright (likethat[dev])")
pytest.importorskip("axe_playwright_python", reason="tests in a browser need axe-playwright-python (likethat[dev])")
uvicorn = pytest.importorskip("uvicorn", reason="serving needs likethat[serve]")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402 - only where it is installed
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402 - likewise

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,  # a browser is started
    pytest.mark.skipif(CHROMIUM is None, reason="tests in a browser need a Chromium on the path"),
]


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=["red", "green", "blue"])
    return lt.EPIC(n_prototypes=3).fit(model, pictures(60))


class Slow:
    """A generator of plain colours that takes a moment, so that a search can be watched."""

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return latents.sigmoid()[:, :, None, None].expand(-1, -1, 16, 16)


@pytest.fixture(scope="module")
def address(bank: lt.Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = bank.save(tmp_path_factory.mktemp("browsed") / "toys")
    generator = lt.load_generator(Slow(), latent_dim=3)
    app = application({"toys": bank, "again": bank}, folders={"toys": folder}, generator=generator)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    yield from visit(browser, 1280)


def visit(browser: Browser, width: int) -> Iterator[Page]:
    """Give a page of a visitor of their own; what it complains of (a script's error, a refused load) is a failure."""
    with browser.new_context(viewport={"width": width, "height": 900}) as visitor:
        page, complaints = visitor.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        yield page
        assert complaints == []


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "owl.png"
    path.write_bytes(encoded(5))
    return path


def encoded(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def check(page: Page) -> None:
    """No violation that axe knows of, and nothing wider than the window."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


@pytest.mark.parametrize("width", [390, 1280])
def test_open_drop_read_mark(browser: Browser, address: str, photo: Path, width: int) -> None:
    for page in visit(browser, width):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_contain_text("looks for")
        check(page)
        drop(page, photo)
        expect(page.get_by_role("heading", level=1)).to_contain_text("The model says")
        check(page)
        drag(page, (0.3, 0.2), (0.6, 0.7))
        page.get_by_role("button", name="What looks like it").click()
        expect(page.get_by_role("heading", name="What looks like it")).to_be_visible()
        assert page.input_value("#mark-left") == "30"
        assert page.input_value("#mark-bottom") == "70"
        expect(page.locator(".prototype").first).to_contain_text("similarity")
        check(page)
        keep(page, "report (HTML)")
        assert json.loads(keep(page, "boxes (COCO)"))["annotations"]


def keep(page: Page, link: str) -> str:
    """Download what a link leads to; a report must stand by itself, without violations and within the window."""
    with page.expect_download() as kept:
        page.get_by_role("link", name=link).click()
    text = Path(kept.value.path()).read_text(encoding="utf-8")
    if "HTML" in link:
        alone = page.context.new_page()
        alone.set_viewport_size(page.viewport_size or {"width": 1280, "height": 900})
        alone.set_content(text)
        assert "runs no script" in text
        check(alone)
        alone.close()
    return text


def drop(page: Page, photo: Path) -> None:
    """Drop a file anywhere on the page, as a hand does."""
    page.evaluate(
        """([data, name]) => {
          const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
          const carried = new DataTransfer();
          carried.items.add(new File([bytes], name, { type: "image/png" }));
          const how = { dataTransfer: carried, bubbles: true, cancelable: true };
          for (const kind of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, how));
        }""",
        [base64.b64encode(photo.read_bytes()).decode(), photo.name],
    )
    page.wait_for_url("**/why/**")


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    pad = page.locator("[data-pad]")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    (first, last) = (
        (box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in (start, end)
    )
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move(*last, steps=3)
    page.mouse.up()


def focus(page: Page, selector: str) -> None:
    """Reach an element by the tabulator alone."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_by_keyboard_alone(page: Page, address: str, bank: lt.Bank) -> None:
    page.goto(f"{address}/why/kept-{bank.prototypes[0].image}?bank=toys")
    focus(page, "[data-pad]")
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    sides = [page.input_value(f"#mark-{side}") for side in ("left", "top", "right", "bottom")]
    assert sides == ["27", "27", "75", "77"]
    page.keyboard.press("Enter")
    page.wait_for_url("**/region**")
    page.goto(f"{address}/banks/toys/review")
    first = page.url
    expect(page.locator("#name")).to_be_focused()
    check(page)
    page.keyboard.type("beak")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != first)
    second = page.url
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: url != second)
    assert list(bank.named.values()) == ["beak"]


def test_a_name_by_mouse(page: Page, address: str, bank: lt.Bank) -> None:
    unit = bank.prototypes[0].unit
    page.goto(f"{address}/banks/toys/units/{unit}")
    page.fill("#name", "bill")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("bill")
    expect(page.get_by_role("status")).to_have_text("It is called bill now.")
    page.fill("#name", "")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"channel {unit}")


def test_two_classes_side_by_side(page: Page, address: str, photo: Path) -> None:
    page.goto(address)
    drop(page, photo)
    page.fill("#beside-target", "blue")
    page.get_by_role("button", name="Side by side").click()
    expect(page.locator(".beside > section")).to_have_count(2)
    check(page)
    keep(page, "report (HTML)")


def test_print_shows_the_page_without_its_controls(page: Page, address: str, photo: Path) -> None:
    page.goto(address)
    drop(page, photo)
    page.emulate_media(media="print")
    for hidden in (".masthead", ".ask"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.locator(".sum .track").first).to_be_visible()
    assert page.pdf().startswith(b"%PDF")


def test_two_visitors_do_not_mix(browser: Browser, address: str, photo: Path) -> None:
    for one in visit(browser, 1280):
        for other in visit(browser, 390):
            one.goto(address)
            other.goto(address)
            drop(one, photo)
            drop(other, photo)
            assert one.url != other.url
            with browser.new_context() as stranger:
                answer = stranger.new_page().goto(one.url)
                assert answer is not None
                assert answer.status == 404
            answer = one.reload()
            assert answer is not None
            assert answer.status == 200


@pytest.mark.parametrize("width", [390, 1280])
def test_ask_watch_and_keep_what_would_change_its_mind(browser: Browser, address: str, photo: Path, width: int) -> None:
    for page in visit(browser, width):
        page.goto(address)
        drop(page, photo)
        where = page.url
        page.fill("#queries", "40")
        page.get_by_role("button", name="Change it").click()
        page.wait_for_url("**/searches/*")
        check(page)
        expect(page.get_by_role("heading", name="How the search went")).to_be_visible(timeout=60_000)  # by itself
        check(page)
        keep(page, "report (HTML)")
        page.get_by_role("link", name="The picture").click()
        assert page.url.partition("?")[0] == where.partition("?")[0]


def test_stop_by_keyboard_alone(page: Page, address: str) -> None:
    page.goto(f"{address}/banks/toys/searches")
    check(page)
    focus(page, "#target")
    page.keyboard.type("blue")
    focus(page, "#n")
    page.keyboard.press("Control+A")
    page.keyboard.type("8")
    focus(page, "#queries")
    page.keyboard.press("Control+A")
    page.keyboard.type("1000")
    page.keyboard.press("Enter")
    page.wait_for_url("**/searches/*")
    page.evaluate("window.isSamePage = true")
    bar = page.locator("progress")
    expect(bar).to_have_attribute("value", re.compile(r"0\.\d"), timeout=60_000)
    expect(bar).not_to_have_attribute("value", bar.get_attribute("value") or "", timeout=60_000)
    assert page.evaluate("window.isSamePage")  # the bar moves without a new page
    focus(page, ".search-goes button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Exemplars of blue", timeout=60_000)
    expect(page.get_by_role("complementary")).to_contain_text("before it was stopped")
    check(page)


def test_two_visitors_search_at_once_without_scripts(browser: Browser, address: str) -> None:
    with (
        browser.new_context(java_script_enabled=False) as one,
        browser.new_context(java_script_enabled=False) as other,
    ):
        pages = {"red": one.new_page(), "blue": other.new_page()}
        for target, page in pages.items():
            page.goto(f"{address}/banks/toys/searches")
            page.fill("#target", target)
            page.fill("#queries", "20")
            page.get_by_role("button", name="Make").click()
            page.wait_for_url("**/searches/*")
        for target, page in pages.items():
            expect(page.locator(".made-items")).to_be_visible(timeout=60_000)  # the page asks again by itself
            expect(page.get_by_role("heading", level=1)).to_have_text(f"Exemplars of {target}")
        answer = pages["blue"].goto(pages["red"].url)
        assert answer is not None
        assert answer.status == 404
        for target, page in pages.items():
            page.goto(f"{address}/banks/toys/searches")
            expect(page.locator(".searches a")).to_have_text([f"Ideal inputs of “{target}”"])

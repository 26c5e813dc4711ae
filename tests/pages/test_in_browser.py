"""The pages in a real browser: the edge moves, boxes go on and off, a phone is wide enough."""

import cv2
import numpy as np
import pytest

from cgan_tf.pages import html
from cgan_tf.pages.html import Comparison, Sliders, embedded, section_of
from cgan_tf.pages.viewer import write_viewer
from tests.toys.browser import chromium_and_driver, open_browser, phone
from tests.toys.insertions import write_toy_insertions

DARK, BRIGHT, LAYER = 40, 200, 120
HOSTILE = (
    "\"><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three comparisons of a dark picture and a bright one, 300 px wide and 150 high."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    comparisons = [
        Comparison(
            key=f"pair-{number}",
            title=f"Patch {HOSTILE}",
            caption=f"{HOSTILE} {'a-long-name-without-a-space' * 8}",
            before=plain(DARK),
            after=plain(BRIGHT),
            boxes=[((60, 30, 240, 120), HOSTILE)],
            layers=[("Lesion channel", plain(LAYER))],
            start=50 if number < 3 else 20,
        )
        for number in (1, 2, 3)
    ]
    content = [section_of("Before and after", Sliders(comparisons))]
    path.write_text(html.page("Untouched", (), content), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def shown(browser, page):
    """The page as it is when it has just been opened, on a screen."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get_log("browser")
    browser.get(page)
    return browser


def plain(level: int):
    return embedded(cv2.imencode(".png", np.full((150, 300), level, np.uint8))[1].tobytes())


def elements(driver, selector):
    return driver.find_elements("css selector", selector)


def picture(driver, number=0):
    """The grey levels of a comparison as the browser paints them, [height, width]."""
    png = elements(driver, ".views")[number].screenshot_as_png
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)


def edge(driver, number=0) -> float:
    """Where dark becomes bright, as a share of the width, along a line above box and handle."""
    row = picture(driver, number)[12]
    bright = row > (DARK + BRIGHT) / 2
    assert not np.diff(bright[row != 255].astype(int)).clip(max=0).any()  # dark, then bright
    return float((row < (DARK + BRIGHT) / 2).mean())


def pull(driver, start: float, end: float, kind: str = "mouse", number: int = 0):
    """Presses at a share of the width, moves to another and lets go."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    views = elements(driver, ".views")[number]
    width = views.size["width"]
    actions = ActionBuilder(driver, mouse=PointerInput(kind, kind), duration=20)
    pointer = actions.pointer_action
    pointer.move_to(views, round((start - 0.5) * width), 0).pointer_down()
    pointer.move_to(views, round((end - 0.5) * width), 0).pointer_up()
    actions.perform()


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def complaints(driver):
    return [entry["message"] for entry in driver.get_log("browser")]


@pytest.mark.parametrize(
    ("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_a_machine_without_a_browser_says_so(monkeypatch, required, outcome):
    monkeypatch.setenv("REQUIRE_BROWSER", required)
    monkeypatch.setattr("shutil.which", lambda name: None if name == "chromedriver" else "/bin/sh")
    with pytest.raises(outcome, match="no chromedriver on this machine: the page was not tried"):
        chromium_and_driver()


class TestEdge:
    def test_it_is_where_it_was_put_at_first(self, shown):
        assert edge(shown) == pytest.approx(0.5, abs=0.02)
        row = picture(shown)[12]
        assert (row[5], row[-5]) == (DARK, BRIGHT)
        assert edge(shown, number=2) == pytest.approx(0.2, abs=0.02)

    @pytest.mark.parametrize("kind", ["mouse", "touch"])
    def test_it_follows_the_pointer(self, shown, kind):
        for start, end in ((0.5, 0.2), (0.6, 0.9)):
            pull(shown, start, end, kind)
            assert edge(shown) == pytest.approx(end, abs=0.02)
        assert edge(shown, number=1) == pytest.approx(0.5, abs=0.02)
        assert complaints(shown) == []

    def test_it_stays_when_the_pointer_only_passes(self, shown):
        pull(shown, 0.5, 0.3)
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(shown).move_to_element(elements(shown, ".views")[0]).perform()
        assert edge(shown) == pytest.approx(0.3, abs=0.02)

    def test_it_stops_at_the_side(self, shown):
        pull(shown, 0.5, 1.2)
        assert edge(shown) > 0.98

    def test_it_follows_the_keys(self, shown):
        from selenium.webdriver.common.keys import Keys

        press(shown, *[Keys.TAB] * 4)  # past the way to the content and the switches
        assert shown.switch_to.active_element.get_attribute("class") == "place"
        press(shown, *[Keys.ARROW_RIGHT] * 20)
        assert edge(shown) == pytest.approx(0.7, abs=0.02)
        assert shown.switch_to.active_element.get_attribute("aria-valuetext") == "70% before"
        press(shown, Keys.HOME)
        assert edge(shown) < 0.02
        press(shown, Keys.END)
        assert edge(shown) > 0.98
        assert complaints(shown) == []


class TestSwitches:
    def test_boxes_go_off_and_on_in_every_picture(self, shown):
        # The upper side of the box lies at 30 of 150 pixels, from 60 to 240 of 300.
        def drawn(number):
            levels = picture(shown, number)
            top = round(len(levels) * 30 / 150)
            column = levels[top - 3 : top + 4, round(levels.shape[1] * 0.3)]
            return int(np.ptp(column.astype(int))) > 20

        assert [drawn(0), drawn(1)] == [True, True]
        elements(shown, "label")[0].click()
        assert [drawn(0), drawn(1)] == [False, False]
        elements(shown, "label")[0].click()
        assert [drawn(0), drawn(1)] == [True, True]

    def test_a_layer_is_off_until_the_space_bar_shows_it(self, shown):
        from selenium.webdriver.common.keys import Keys

        assert LAYER not in picture(shown)[12]
        press(shown, Keys.TAB, Keys.TAB, Keys.TAB, Keys.SPACE)
        row = picture(shown)[12]
        assert np.median(row) == LAYER
        press(shown, Keys.SPACE)
        assert LAYER not in picture(shown)[12]


def test_text_from_data_stays_text(shown):
    assert shown.title == "Untouched"
    assert elements(shown, "figcaption")[0].text.startswith(HOSTILE)
    assert complaints(shown) == []


def test_no_other_script_may_run(shown):
    """Should a string ever come through unescaped."""
    shown.execute_script(
        "const s = document.createElement('script'); s.textContent = \"document.title='taken'\";"
        "document.body.append(s);"
    )
    assert shown.title == "Untouched"
    assert "violates the following Content Security Policy" in complaints(shown)[0]


def test_nothing_is_fetched(shown):
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert [name for name in shown.execute_script(script) if not name.startswith("data:")] == []


def test_a_phone_is_wide_enough(browser, page):
    phone(browser)
    browser.get(page)
    widths = "return [document.documentElement.scrollWidth, innerWidth]"
    assert browser.execute_script(widths) == [390, 390]
    assert elements(browser, ".views")[0].size["width"] >= 340
    for text in elements(browser, "figcaption, .sliders > label, h2"):
        assert float(text.value_of_css_property("font-size").removesuffix("px")) >= 12
    assert min(label.size["height"] for label in elements(browser, ".sliders > label")) >= 24
    pull(browser, 0.5, 0.25, "touch")
    assert edge(browser) == pytest.approx(0.25, abs=0.02)


def test_without_scripts_the_pictures_stand_side_by_side(browser, page):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page)
        row = picture(browser)[12]
        assert len(row) > 250
        assert (row[len(row) // 4], row[3 * len(row) // 4]) == (DARK, BRIGHT)
        elements(browser, "label")[1].click()  # the layer lies over the right one
        row = picture(browser)[12]
        assert (row[len(row) // 4], row[3 * len(row) // 4]) == (DARK, LAYER)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


class TestViewer:
    @pytest.fixture
    def viewer(self, browser, tmp_path):
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.get_log("browser")
        browser.get(write_viewer(write_toy_insertions(tmp_path / "run")).as_uri())
        return browser

    def test_pictures_beside_the_page_are_shown_and_compared(self, viewer):
        assert edge(viewer) == pytest.approx(56 / 120, abs=0.02)  # in the middle of both boxes
        pull(viewer, 0.5, 0.75)
        assert edge(viewer) == pytest.approx(0.75, abs=0.02)
        assert complaints(viewer) == []

    def test_boxes_go_off_and_on(self, viewer):
        boxes = elements(viewer, "rect")
        assert len(boxes) == 3
        switch = elements(viewer, "label")[0]
        for shown in (False, True):
            switch.click()
            assert [box.is_displayed() for box in boxes] == [shown] * 3

    def test_a_whole_image_fits_on_the_screen(self, viewer):
        height = viewer.execute_script("return innerHeight")
        assert 0.5 * height < elements(viewer, ".views")[0].size["height"] <= height
        phone(viewer)
        widths = "return [document.documentElement.scrollWidth, innerWidth]"
        assert viewer.execute_script(widths) == [390, 390]

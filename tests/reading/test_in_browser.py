"""A whole study in a real browser: by keys, closed in the middle, gone on, saved and analysed."""

import json
import time

import cv2
import numpy as np
import pytest

from cgan_tf.reading.analysis import analyse
from cgan_tf.reading.answers import read_answers
from cgan_tf.reading.study import read_key, read_pictures
from tests.toys.browser import open_browser, phone
from tests.toys.reader_study import write_sets, write_study

FLAGS = {"cases": 8, "training": 2, "repeats": 3, "break_every": 4}


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("sets"), ("mass",))


@pytest.fixture(scope="module")
def study(root):
    return write_study(root, root / "study", kinds=("mass",), **FLAGS)


@pytest.fixture(scope="module")
def pairs(root):
    flags = {**FLAGS, "question": "two_alternatives"}
    return write_study(root, root / "pairs", kinds=("mass",), **flags)


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of a study as a new reader's browser would; saves go to tmp_path."""

    def open_page(study):
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        save_to(browser, tmp_path)
        browser.get((study / "study.html").as_uri())
        browser.execute_script("localStorage.clear()")
        browser.refresh()
        browser.get_log("browser")
        return browser

    return open_page


def save_to(driver, folder):
    """Where this tab saves files."""
    where = {"behavior": "allow", "downloadPath": str(folder)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def enter():
    from selenium.webdriver.common.keys import Keys

    return Keys.ENTER


def screen(driver) -> str:
    return driver.execute_script("return document.body.dataset.screen")


def text(driver, name) -> str:
    return driver.execute_script("return document.getElementById(arguments[0]).textContent", name)


def stored(driver, code) -> dict:
    script = (
        "return localStorage.getItem(Object.keys(localStorage).find(k => k.endsWith(arguments[0])))"
    )
    return json.loads(driver.execute_script(script, f":{code}"))


def picture(driver, number=0) -> np.ndarray:
    """A picture as it is painted, uint8 [side, side]."""
    canvas = driver.find_elements("css selector", "canvas")[number]
    png = np.frombuffer(canvas.screenshot_as_png, np.uint8)
    return cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)


def begin(driver, code):
    press(driver, code, enter())
    assert screen(driver) == "read"


def read(driver, answers):
    """Gives these answers one after the other, resting nowhere."""
    for answer in answers:
        if screen(driver) == "rest":
            press(driver, enter())
        training = text(driver, "place").startswith("Training")
        press(driver, str(answer), enter())
        if training:
            assert text(driver, "verdict").startswith(("Right", "No"))
            press(driver, enter())


def saved(folder, name) -> dict:
    for _ in range(100):
        found = list(folder.glob(f"answers_*_{name}.json"))
        if found:
            return json.loads(found[0].read_text(encoding="utf-8"))
        time.sleep(0.05)
    raise AssertionError(f"nothing was saved: {list(folder.iterdir())}")


class TestWholeStudy:
    def test_closed_in_the_middle_and_gone_on(self, opened, study, tmp_path):
        driver = opened(study)
        begin(driver, "r7")  # small letters are the same code
        read(driver, [1, 6, 1, 2, 3, 4, 5])
        order = [answer["case"] for answer in stored(driver, "R7")["answers"]]
        assert text(driver, "place") == "6 of 11"

        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        again = driver.current_window_handle
        driver.switch_to.window(first)
        driver.close()
        driver.switch_to.window(again)
        save_to(driver, tmp_path)
        driver.get((study / "study.html").as_uri())
        (button,) = driver.find_elements("css selector", "#sessions button")
        assert button.text == "Go on as R7: 5 of 11 read"
        button.click()
        assert text(driver, "place") == "6 of 11"
        read(driver, [6, 1, 2, 3, 4, 5])
        assert screen(driver) == "done"

        answers = saved(tmp_path, "R7")
        assert [answer["case"] for answer in answers["answers"]][:7] == order
        given = [answer["answer"] for answer in answers["answers"]]
        assert given == [1, 6, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
        assert [bool(a.get("interrupted")) for a in answers["answers"]].count(True) == 1
        assert answers["answers"][7]["interrupted"]
        assert all(0 <= answer["seconds"] < 60 for answer in answers["answers"])
        assert driver.get_log("browser") == []

        key = read_key(study)
        readers = read_answers([str(tmp_path)], key)
        assert readers[0].finished
        assert (len(readers[0].answers), len(readers[0].again)) == (8, 3)
        assert analyse(key, readers).readers[0].reader == "R7"

    def test_two_pictures_whose_sides_are_drawn(self, opened, pairs, tmp_path):
        driver = opened(pairs)
        begin(driver, "A")
        read(driver, [1] * 13)  # always the left one
        answers = saved(tmp_path, "A")["answers"]
        assert all(answer["answer"] == answer["left"] for answer in answers)
        assert {answer["left"] for answer in answers} == {0, 1}
        key = read_key(pairs)
        (reader,) = analyse(key, read_answers([str(tmp_path)], key)).readers
        assert reader.left == 1.0

    def test_the_picture_is_the_cases(self, opened, pairs):
        """Both pictures as painted, scaled down again, are those that the key calls so."""
        driver = opened(pairs)
        begin(driver, "B")
        read(driver, [1, 1])
        press(driver, enter())  # the training is over
        pages, shown = (
            read_pictures(pairs, read_key(pairs).study),
            [picture(driver, n) for n in (0, 1)],
        )
        press(driver, "2", enter())
        answer = stored(driver, "B")["answers"][-1]
        assert answer["answer"] == 1 - answer["left"]
        for number in (0, 1):
            side = answer["left"] if number == 0 else 1 - answer["left"]
            expected = pages.levels(answer["case"], side).astype(float)
            found = cv2.resize(shown[number], (32, 32), interpolation=cv2.INTER_AREA)
            assert np.corrcoef(found[2:-6].ravel(), expected[2:-6].ravel())[0, 1] > 0.97


class TestOrder:
    def order(self, driver, code):
        return driver.execute_script("return trialsOf(arguments[0]).map((t) => t.id)", code)

    def test_every_code_has_its_own_and_repeats_lie_apart(self, opened, study):
        driver, key = opened(study), read_key(study)
        orders = {code: self.order(driver, code)[2:] for code in ("A", "B", "R1", "R2", "R3")}
        assert len({tuple(order) for order in orders.values()}) == 5
        for order in orders.values():
            assert set(order) == {case.case for case in key.cases}
            twice = {case for case in order if order.count(case) == 2}
            assert len(twice) == 3
            assert min(len(order) - 1 - order[::-1].index(c) - order.index(c) for c in twice) >= 2
        assert self.order(driver, "A")[2:] == orders["A"]

    def test_places_are_even_over_codes(self, opened, study):
        """Codes that differ by a digit: every case comes first as often as any other, but for the
        repeated ones, which are sure to be in the first half."""
        driver, key = opened(study), read_key(study)
        script = "return arguments[0].map((code) => trialsOf(code)[2].id)"
        firsts = driver.execute_script(script, [f"R{n}" for n in range(600)])
        data = driver.execute_script("return study.repeated")
        counts = {case.case: firsts.count(case.case) for case in key.cases}
        for repeated, share in ((True, 1 / 6), (False, 3 / 6 / 5)):
            own = [count for case, count in counts.items() if (case in data) == repeated]
            assert np.array(own) == pytest.approx(600 * share, abs=5 * np.sqrt(600 * share))
            assert np.ptp(own) > 0

    def test_sides_are_even_over_codes(self, opened, pairs):
        script = "return arguments[0].map((code) => trialsOf(code).map((t) => t.turned))"
        turned = np.array(opened(pairs).execute_script(script, [f"R{n}" for n in range(300)]))
        assert turned.mean(axis=0) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(300))
        assert turned.mean(axis=1).std() == pytest.approx(0.5 / np.sqrt(13), rel=0.25)


class TestKeys:
    def test_window_level_zoom_and_back(self, opened, study):
        from selenium.webdriver.common.keys import Keys

        driver = opened(study)
        begin(driver, "K")
        plain = picture(driver).astype(float)
        press(driver, *[Keys.ARROW_UP] * 4)
        assert picture(driver).mean() > plain.mean() + 15
        press(driver, "0", *[Keys.ARROW_RIGHT] * 4)
        assert picture(driver).std() > 1.15 * plain.std()
        press(driver, "0", "i")
        assert np.corrcoef(picture(driver).ravel(), plain.ravel())[0, 1] < -0.97
        press(driver, "0", "+", "+", "+", "+")
        larger = picture(driver).astype(float)
        assert np.corrcoef(larger.ravel(), plain.ravel())[0, 1] < 0.9
        from selenium.webdriver.common.action_chains import ActionChains

        moves = ActionChains(driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT)
        moves.key_up(Keys.SHIFT).perform()
        assert np.abs(picture(driver).astype(float) - larger).mean() > 3
        press(driver, "0")
        assert np.abs(picture(driver) - plain).mean() < 1
        assert driver.get_log("browser") == []

    def test_an_answer_can_be_changed_until_it_is_confirmed(self, opened, study):
        driver = opened(study)
        begin(driver, "C")
        press(driver, enter())  # nothing is chosen yet
        assert text(driver, "place") == "Training 1 of 2"
        press(driver, "2", "5", "5", enter())  # the same key again confirms
        assert stored(driver, "C")["answers"][0]["answer"] == 5
        assert text(driver, "place") == "Training 2 of 2"

    def test_a_rest_covers_the_case_and_stops_the_clock(self, opened, study):
        driver = opened(study)
        begin(driver, "P")
        press(driver, "p")
        assert screen(driver) == "rest"
        assert not driver.find_element("css selector", "canvas").is_displayed()
        time.sleep(0.6)
        press(driver, enter())
        assert text(driver, "place") == "Training 1 of 2"
        press(driver, "1", enter(), enter())
        session = stored(driver, "P")
        assert session["rests"] == 1
        assert session["answers"][0]["seconds"] < 0.6

    def test_help_opens_and_closes(self, opened, study):
        from selenium.webdriver.common.keys import Keys

        driver = opened(study)
        begin(driver, "H")
        for opening, closing in (("h", Keys.ESCAPE), ("?", Keys.ENTER)):
            press(driver, opening)
            assert driver.find_element("id", "help").is_displayed()
            press(driver, closing)
            assert not driver.find_element("id", "help").is_displayed()
        press(driver, "3", enter())
        assert text(driver, "verdict")


def test_a_wrong_code_goes_nowhere(opened, study):
    driver = opened(study)
    press(driver, "a b/..", enter())
    assert screen(driver) == "start"


def test_without_storage_the_reader_is_warned(opened, study):
    """Before she begins, and at a rest should it fail only then; she can read all the same."""
    driver = opened(study)
    broken = "Storage.prototype.setItem = () => { throw new Error('full'); };"
    source = {"source": broken}
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    try:
        driver.refresh()
        assert driver.find_element("id", "unkept").is_displayed()
        begin(driver, "S")
        read(driver, [1, 1])
        assert driver.find_element("id", "rest-unkept").is_displayed()
        assert not driver.find_element("id", "rest-kept").is_displayed()
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_phone_is_wide_enough_and_it_stays_dark(opened, pairs):
    driver = opened(pairs)
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        shade = "return getComputedStyle(document.body).backgroundColor"
        assert driver.execute_script(shade) == "rgb(8, 9, 10)"
    phone(driver)
    driver.refresh()
    begin(driver, "M")
    sizes = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert driver.execute_script(sizes) == [390, 844]
    assert min(c.size["width"] for c in driver.find_elements("css selector", "canvas")) > 170
    button = driver.find_element("css selector", "#answers button")
    assert button.size["height"] >= 40
    button.click()
    driver.find_element("id", "next").click()
    assert text(driver, "verdict")


def test_nothing_is_fetched_and_no_other_script_runs(opened, study):
    driver = opened(study)
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert driver.execute_script(script) == []
    driver.execute_script(
        "const s = document.createElement('script'); s.textContent = \"document.title='taken'\";"
        "document.body.append(s);"
    )
    assert driver.title == "Reader study"

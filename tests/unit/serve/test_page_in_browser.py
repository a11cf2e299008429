"""The page in a real browser: by keyboard alone, on a desk and on a phone, by day and by night."""

import sqlite3
import time

import pytest
from browser import CHROMIUM, Browser
from small_search import open_searcher, write_searcher
from small_server import served
from small_trial import EVIL_ID, EVIL_TITLE, tried, write_scene_index

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here (make debian-packages)")

QUERY = "w01 w02 w03"
TAB, ENTER, RIGHT = ("Tab", 9), ("Enter", 13), ("ArrowRight", 39)
CARDS = "document.querySelectorAll('article').length"
DONE = f"{CARDS} && document.getElementById('status').textContent.includes(' s')"
SHOWN = "document.querySelectorAll('article .picture, article .none').length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_scene_index(folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def client(folder, tmp_path_factory):
    with tried({"a": folder, "b": write_twin(folder, tmp_path_factory)}, folder / "events") as client:
        yield client


def write_twin(folder, tmp_path_factory):
    """The same again: an index has one process that changes it."""
    twin = tmp_path_factory.mktemp("twin")
    write_scene_index(twin)
    return twin


@pytest.fixture
def page(browser, client):
    browser.complaints.clear()
    browser.screen(1280, 900)
    browser.open(f"http://127.0.0.1:{client.port}/")
    browser.until("document.getElementById('about').textContent.includes('12 items')")
    return browser


def found(page, query=QUERY):
    page.js("document.getElementById('query').focus()")
    page.type(query)
    page.press(*ENTER)
    page.until(DONE)
    page.until(f"{SHOWN} === {CARDS}")


def test_what_is_typed_is_found_and_nothing_of_a_stranger_runs(page):
    page.js("document.getElementById('k').value = '20'")
    found(page)
    assert page.js(CARDS) == 12
    titles = page.js("[...document.querySelectorAll('article h3')].map(one => one.textContent)")
    assert EVIL_TITLE in titles and ".." in titles
    assert page.js("document.querySelectorAll('article script, article b, article img').length") == 0
    assert page.js("document.title") == "InterBERT search"
    # Scenes are drawn again; of the stranger's items the boxes are all there is.
    page.until("document.querySelectorAll('svg.picture image').length === 10")
    assert page.js("document.querySelectorAll('svg.picture').length") == 12
    assert page.js("[...document.querySelectorAll('svg.picture')].every(one => one.querySelector('rect'))")
    assert page.complaints == []


def test_by_keyboard_alone_words_say_where_they_look(page):
    found(page)
    page.js("document.querySelector('article h3 button').focus()")
    page.press(*TAB)
    pressed = "document.activeElement.getAttribute('aria-pressed')"
    assert page.js("document.activeElement.textContent") == "all words" and page.js(pressed) == "true"
    page.press(*RIGHT)
    assert page.js("document.activeElement.textContent") == "w01" and page.js(pressed) == "true"
    card = "document.activeElement.closest('article')"
    assert page.js(f"{card}.querySelector('[aria-live]').textContent").startswith("“w01” looks at ")
    assert page.js(f"{card}.querySelectorAll('.looked').length") == 3
    widths = page.js(f"[...{card}.querySelectorAll('rect')].map(one => +one.getAttribute('stroke-width'))")
    assert max(widths) == 4 and min(widths) < 4
    page.press(*TAB)
    assert page.js("document.activeElement.textContent") == "Add to topic", "the words are one stop"
    page.press(*ENTER)
    assert page.js("document.querySelectorAll('#topic li').length") == 1
    assert page.js("document.getElementById('status').textContent").startswith("Added to the topic: ")


def test_a_topic_is_searched_and_taken_apart_again(page):
    for text in ("w01 w02", "w05"):
        page.js("document.getElementById('query').focus()")
        page.type(text)
        page.js("document.getElementById('add').click()")
    assert page.js("[...document.querySelectorAll('#topic li span')].map(one => one.textContent)") == [
        "w01 w02",
        "w05",
    ]
    page.js("document.getElementById('query').focus()")
    page.press(*ENTER)
    page.until(DONE)
    page.js("document.querySelector('#topic li button').click()")
    assert page.js("document.activeElement.getAttribute('aria-label')") == "Remove from topic: w05"
    page.js("document.getElementById('clear').click()")
    assert page.js("document.getElementById('topic').hidden")
    assert page.js(
        "[...document.querySelectorAll('.words')].every(one => one.ariaLabel.includes('“w01 w02”'))"
    )
    assert page.js("document.querySelector('[aria-live]').textContent").startswith(
        "Of “w01 w02”: all words look at "
    )
    page.js("document.getElementById('search').requestSubmit()")
    assert "Say what is sought" in page.js("document.getElementById('status').textContent")


def test_two_models_stand_side_by_side(page):
    page.js("document.querySelector('details').open = true; document.getElementById('both').click()")
    found(page)
    heads = page.js("[...document.querySelectorAll('.columns > section > h2')].map(one => one.textContent)")
    assert heads == ["a", "b"] and page.js(CARDS) == 20
    assert page.js(
        "[...document.querySelectorAll('article')].every(one => /of the other|not among/.test(one.textContent))"
    )
    left, right = page.js("[...document.querySelectorAll('.columns > section')].map(one => one.offsetLeft)")
    assert left < right
    page.screen(390, 800)
    left, right = page.js("[...document.querySelectorAll('.columns > section')].map(one => one.offsetLeft)")
    assert left == right


def test_what_is_seen_and_opened_is_told(page, folder):
    found(page)
    page.js("document.querySelector('article h3 button').click()")
    page.until("document.getElementById('closer').open")
    assert page.js("document.querySelectorAll('#closer tbody tr').length") == 4
    assert page.js("document.getElementById('closer-name').textContent")
    clicked = (
        "SELECT e.place, (SELECT count(*) FROM exposures) FROM clicks JOIN exposures e USING (search, item)"
    )
    with sqlite3.connect(folder / "events" / "events.sqlite") as database:
        end = time.monotonic() + 10  # the page gathers for half a second, and the server waits for its disk
        while not (told := database.execute(clicked).fetchall()):
            assert time.monotonic() < end
            time.sleep(0.05)
    ((place, seen),) = told
    assert place == 0 and seen >= 3
    page.press("Escape", 27)
    assert not page.js("document.getElementById('closer').open")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen_and_all_can_be_read(page, width, dark):
    page.screen(width, 900, dark)
    page.js("document.getElementById('k').value = '20'")
    found(page)
    assert page.js("document.documentElement.scrollWidth") <= width
    faint = page.js(CONTRAST)
    assert faint == []


CONTRAST = """(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((one) => one / 255)
      .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const found = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$/.test(found)) return found;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const one of document.querySelectorAll("h1, h2, h3, p, label, button, summary, li, input, select")) {
    if (!one.checkVisibility() || !one.textContent.trim()) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(`${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`);
  }
  return faint;
})()"""


def test_a_screen_reader_has_a_name_for_all_that_is_used(page):
    found(page)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    used = {"button", "searchbox", "textbox", "combobox", "checkbox", "toolbar", "image", "heading", "region"}
    told = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    assert [one for one in told if one[0] in used and not one[1].strip()] == []
    roles = [role for role, _ in told]
    assert {"search", "main", "status", "list"} <= set(roles)
    assert page.js("document.documentElement.lang") == "en"


def test_a_server_with_keys_is_asked_with_one(browser, folder, tmp_path):
    key = "k" * 20
    twin = tmp_path / "own"
    write_scene_index(twin)
    with open_searcher(twin, write_searcher(twin)) as searcher, served(searcher, keys=[key]) as client:
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.until("!document.getElementById('keys').hidden")
        assert browser.js("document.activeElement.id") == "key"
        browser.type("wrong" * 4)
        browser.press(*ENTER)
        browser.until("document.activeElement.id === 'key' && document.getElementById('key').value === ''")
        browser.until("!document.getElementById('keys').hidden")
        browser.type(key)
        browser.press(*ENTER)
        browser.until("document.getElementById('about').textContent.includes('12 items')")
        found(browser)
        browser.until("document.querySelectorAll('svg.picture image').length > 0")
        assert client.ask("GET", "/info")[0] == 401


def test_files_of_the_page_forbid_what_is_not_theirs(client):
    for path in ("/", "/page/page.js", "/page/page.css", "/page/icon.svg"):
        status, body, headers = client.send("GET", path)
        policy = headers["content-security-policy"]
        assert status == 200 and body and "unsafe" not in policy and "default-src 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    for path in ("/page/index.html", "/page/..%2Fapp.py", "/page/nothing.js"):
        assert client.send("GET", path)[0] == 404
    assert client.ask("GET", "/looks?id=nobody")[0] == 404 and client.ask("GET", "/pictures")[0] == 404
    status, told = client.ask("GET", "/looks?id=train-s1-0000003")
    assert status == 200 and told["picture"] and len(told["labels"]) == len(told["boxes"])
    assert client.send("GET", "/pictures?id=train-s1-0000003")[2]["content-type"] == "image/png"
    assert client.ask("GET", "/pictures?id=..")[0] == 404


def test_a_stranger_who_calls_an_item_like_a_scene_has_no_picture_of_one(client):
    from small_search import some_regions
    from test_server_answers import body_of

    item = {"id": "train-s1-0000777", **body_of(some_regions(4))}
    assert client.ask("PUT", "/items", item)[0] == 200
    assert client.ask("GET", "/looks?id=train-s1-0000777")[1]["picture"] is False
    assert client.ask("GET", "/pictures?id=train-s1-0000777")[0] == 404
    assert client.ask("DELETE", "/items/train-s1-0000777")[0] == 200


def test_the_hostile_id_is_found_by_its_own_name(client):
    from urllib.parse import quote

    status, told = client.ask("GET", f"/looks?id={quote(EVIL_ID, safe='')}")
    assert status == 200 and told["id"] == EVIL_ID and told["picture"] is False


def test_own_images_are_shown_by_their_ids_and_made_anew(folder, tmp_path):
    from io import BytesIO

    from PIL import Image
    from small_server import listening

    from interbert.serve.app import app_of
    from interbert.serve.body import Bodies
    from interbert.serve.door import Door
    from interbert.serve.start_trial import application

    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (3000, 1000), (200, 30, 30)).save(photos / "train-s1-0000001.jpg", comment=b"secret")
    (photos / "train-s1-0000002.jpg").write_bytes(Image.new("RGB", (9, 9)).tobytes()[:50])
    twin = tmp_path / "own"
    write_scene_index(twin)
    with open_searcher(twin, write_searcher(twin)) as searcher:
        door = Door(searcher, Bodies())
        with application(app_of, door, images=[photos]) as (app, doors), listening(app, doors) as client:
            status, body, headers = client.send("GET", "/pictures?id=train-s1-0000001")
            assert status == 200 and headers["content-type"] == "image/jpeg" and b"secret" not in body
            assert Image.open(BytesIO(body)).size == (1024, 341)
            status, told = client.ask("GET", "/pictures?id=train-s1-0000002")
            assert status == 422 and "not a readable image" in told["error"]
            assert client.send("GET", "/pictures?id=train-s1-0000003")[2]["content-type"] == "image/png"

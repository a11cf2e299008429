"""An item by its picture: its regions are those of the encoder that the server was started with."""

import base64
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_files import drawn, encoded
from plain_encoder import PlainEncoder
from small_search import open_searcher, until
from small_server import served
from small_world import FEATURE_WIDTH

from interbert.inference.uploads import Uploads
from interbert.search.requests import Options
from interbert.sources.images.decode import Picture
from interbert.sources.images.encoder import Regions


class Wide(PlainEncoder):
    """As wide as the model takes it."""

    features_of = None

    def _of_image(self, image):
        found = super()._of_image(image)
        wide = np.resize(found.features_ND / 255, (4, FEATURE_WIDTH))
        return Regions(found.boxes_N4, wide, None)


@pytest.fixture(scope="module")
def client(made, tmp_path_factory):
    folder, encoder = made
    own = tmp_path_factory.mktemp("pictures")
    shutil.copytree(folder / "index", own / "index")
    uploads = Uploads(Wide(), megapixels=0.01)
    options = Options(queued_seconds=60)
    with open_searcher(own, encoder, options) as searcher, served(searcher, uploads=uploads) as client:
        yield client


def sent(picture, kind="PNG", **more):
    return {"id": "a", "image": base64.b64encode(encoded(picture, kind)).decode(), **more}


def test_an_item_by_its_picture(client):
    picture = drawn(60, 40)
    for kind in ("PNG", "JPEG", "WEBP"):
        body = {"items": [sent(picture, kind, title="a cat", attributes={"seller": "s"})]}
        assert client.ask("PUT", "/items", body)[0] == 200
    assert client.ask("PUT", "/items", sent(picture))[0] == 200  # one by itself
    status, told = client.ask("GET", "/items/a")
    assert status == 200 and told["size"] == [60, 40] and len(told["boxes"]) == 4
    encoder = Wide()
    (wanted,) = encoder.regions([encoder.prepare(Picture(picture, picture.size))])
    found = np.frombuffer(base64.b64decode(told["features"]), "<f2").reshape(4, -1)
    np.testing.assert_array_equal(found, wanted.features_ND.astype(np.float16))
    np.testing.assert_allclose(told["boxes"], wanted.boxes_N4, atol=0.01)


def test_what_is_no_picture_or_too_large_is_told_so(client):
    picture = drawn(60, 40)
    for body, said in (
        (sent(drawn(200, 100)), "item 'a', image: "),  # 0.02 megapixels
        ({"id": "a", "image": "*"}, "no base64"),
        ({"id": "a", "image": base64.b64encode(b"<svg/>").decode()}, "not a readable image"),
        (sent(picture) | {"image": sent(picture)["image"][:400]}, "image"),
        (sent(picture, boxes=[[0, 0, 1, 1]]), "boxes: there is no such field"),
        ({"items": [sent(picture, size=[1, 1])]}, "size: there is no such field"),
    ):
        status, told = client.ask("PUT", "/items", body)
        assert status == 422 and said in told["error"], told
    many = {"items": [sent(picture) | {"id": str(number)} for number in range(17)]}
    assert client.ask("PUT", "/items", many)[0] == 413
    status, told = client.ask("PUT", "/items", sent(picture), **{"x-request-timeout": "1e-9"})
    assert (status, told["error_type"]) == (504, "late")


def test_nobody_who_searches_waits_for_pictures_of_others(client, monkeypatch):
    """However many are sent at once."""
    go, regions = threading.Event(), client.door.uploads.regions

    def slow(*given):
        assert go.wait(30)
        return regions(*given)

    monkeypatch.setattr(client.door.uploads, "regions", slow)
    with ThreadPoolExecutor(6) as others:
        body = sent(drawn(60, 40))
        put = [others.submit(client.ask, "PUT", "/items", body) for _ in range(6)]
        try:
            until(lambda: client.door.bodies.held == 6 * len(json.dumps(body)))  # all of them have come
            for _ in range(3):
                assert (
                    client.ask("POST", "/search", {"query": "w01"}, **{"x-request-timeout": "20"})[0] == 200
                )
            assert not any(one.done() for one in put)
        finally:
            go.set()
        assert [one.result()[0] for one in put] == [200] * 6


def test_a_server_without_an_encoder_says_so(own):
    with open_searcher(*own) as searcher, served(searcher) as client:
        status, told = client.ask("PUT", "/items", sent(drawn(60, 40)))
        assert status == 422 and "--detector" in told["error"]

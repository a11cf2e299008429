"""Two models and a trial between them, over scenes and two items of a hostile stranger."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from small_search import FEATURE_WIDTH, HIDDEN, WIDTH, about_of, add_stores, open_searcher, write_searcher
from small_server import Client, listening

from interbert.ab.experiment import ArmSettings, Experiment
from interbert.ab.record import Record
from interbert.search.index.index import Addition, Index
from interbert.search.requests import Options
from interbert.serve.app import app_of
from interbert.serve.body import Bodies
from interbert.serve.door import Door
from interbert.serve.trial import Dealt, Trial
from interbert.sources.scenes.write import write_scenes

EVIL_ID = "'\"><img src=x onerror=alert(1)>/../?#%00"
EVIL_TITLE = "<script>document.title = 'theirs'</script><b>sofa</b> & Co"
TRIAL = Experiment(name="some", salt="salt", arms={"a": ArmSettings(share=0.5), "b": ArmSettings(share=0.5)})


def write_scene_index(folder: Path, scenes: int = 10) -> None:
    """folder/model and folder/index."""
    encoder = write_searcher(folder)
    write_scenes(folder / "scenes.h5", scenes, 1, feature_width=FEATURE_WIDTH)
    with Index.create(folder / "index", about_of(encoder, folder / "model", "fp32", 10, 12)) as index:
        add_stores(index, encoder, [folder / "scenes.h5"])
        rng = np.random.default_rng(1)
        for id_, title in ((EVIL_ID, EVIL_TITLE), ("..", "")):
            vector = rng.normal(size=WIDTH).astype(np.float32)
            rows = torch.from_numpy(rng.normal(size=(3, HIDDEN)).astype(np.float32))
            features = rng.normal(size=(2, FEATURE_WIDTH)).astype(np.float16)
            boxes = np.array([[0, 0, 100, 50], [10, 10, 200, 100]], np.float32)
            attributes = {"<i>seller</i>": "<u>me</u>"}
            index.put([Addition(id_, rows, vector, (200, 100), None, features, boxes, title, attributes)])


@contextmanager
def tried(
    folders: dict[str, Path], events: Path, experiment: Experiment = TRIAL, keys: list[str] | None = None
) -> Iterator[Client]:
    """folders: of each arm, as `write_scene_index` leaves them."""
    with ExitStack() as opened:
        doors = {}
        for name, folder in folders.items():
            encoder = write_searcher(folder)
            searcher = opened.enter_context(open_searcher(folder, encoder, Options(queued_seconds=60)))
            doors[name] = Door(searcher, Bodies())
        record = Record(
            events, experiment.told(), {name: str(path / "index") for name, path in folders.items()}
        )
        opened.callback(record.close)
        trial = Trial(experiment, doors, record)
        app = Dealt(trial, {name: app_of(door, keys, of=trial) for name, door in doors.items()})
        yield opened.enter_context(listening(app, list(doors.values())))

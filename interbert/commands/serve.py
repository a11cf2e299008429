"""`interbert serve`: a search over HTTP."""

import argparse
from contextlib import closing
from pathlib import Path

from interbert.commands.extract import add_model_arguments

HELP = "answer searches over HTTP, by an index and the model that made it"
DRAIN = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--index", required=True, type=Path, metavar="DIR", help="of `interbert index build`")
    add("--model", required=True, type=Path, metavar="DIR", help="the model that made it")
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen at (127.0.0.1: this machine alone)")
    add("--port", type=int, default=8000, metavar="N", help="0: one that is free (8000)")
    add("--key", type=Path, metavar="FILE", help="of keys, one a line, of which clients must send one")
    add(
        "--admin-key",
        type=Path,
        metavar="FILE",
        help="of keys by which another model may be brought (none: by nobody)",
    )
    add(
        "--name",
        nargs="+",
        default=[],
        metavar="HOST",
        help="without --key: names that it is called by, besides addresses and localhost",
    )
    add(
        "--images", nargs="+", type=Path, default=[], metavar="PATH",
        help="folders, archives or tables of the items' pictures, by their ids, for the page",
    )  # fmt: skip
    add(
        "--events",
        type=Path,
        metavar="DIR",
        help="keep what users are shown and click, for `interbert ab report`",
    )
    add("--ab", type=Path, metavar="FILE", help="a trial: which share of the users meets which model (YAML)")
    add("--device", metavar="NAME", help="cpu or cuda (a GPU where there is one)")
    add_model_arguments(parser, "--detector")
    add(
        "--max-megapixels",
        type=float,
        default=32.0,
        metavar="N",
        help="of a picture that is sent; larger ones are refused, not decoded (32)",
    )


def run(arguments: argparse.Namespace) -> int:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(
            f'there is no {error.name}; `pip install ".[serve]"` brings what a server needs'
        ) from None
    from functools import partial

    from interbert.search.searcher import Searcher
    from interbert.serve.app import app_of
    from interbert.serve.body import Bodies
    from interbert.serve.door import Door
    from interbert.serve.hosts import warning_of
    from interbert.serve.keys import read_keys
    from interbert.serve.models import Models
    from interbert.serve.running import Server, address, bound, end_what_is_being_brought
    from interbert.serve.start_trial import application

    keys, admin_keys = (read_keys(file) if file else None for file in (arguments.key, arguments.admin_key))
    opened = partial(Searcher.open, device=arguments.device)
    with (
        bound(arguments.host, arguments.port) as socket,
        opened(arguments.index, arguments.model) as searcher,
        closing(Models(searcher, opened)) as models,
    ):
        searcher.warm()
        for told in (searcher.notice, warning_of(arguments.host, keys is not None)):
            if told:
                print(told, flush=True)
        door = Door(models, Bodies(), _uploads(arguments, searcher.index.about["features_of"]))
        said = f"{len(searcher.index):,} items at {address(socket)}"
        given = (arguments.events, arguments.ab, arguments.device, arguments.images)
        who = {"keys": keys, "admin_keys": admin_keys, "names": [*arguments.name, arguments.host]}
        with application(partial(app_of, **who), door, *given) as (app, doors):
            Server(app, doors, DRAIN, lambda: print(said, flush=True)).run(sockets=[socket])
    end_what_is_being_brought()
    return 0


def _uploads(arguments: argparse.Namespace, trained_on: str | None):
    """What pictures go through; None where none is named."""
    if not (arguments.detector or arguments.encoder):
        return None
    from interbert.commands.extract import load
    from interbert.inference.uploads import Uploads
    from interbert.store.features_of import refuse_other_features

    _, vision = load(arguments, arguments.detector)
    refuse_other_features(
        arguments.model, trained_on, arguments.detector or arguments.encoder, vision.features_of
    )
    return Uploads(vision, arguments.max_megapixels)

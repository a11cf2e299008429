"""`interbert serve`: a search over HTTP."""

import argparse
from pathlib import Path

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
    from interbert.serve.keys import read_keys
    from interbert.serve.running import Server, address, bound
    from interbert.serve.start_trial import application

    keys = read_keys(arguments.key) if arguments.key else None
    with (
        bound(arguments.host, arguments.port) as socket,
        Searcher.open(arguments.index, arguments.model, device=arguments.device) as searcher,
    ):
        searcher.warm()
        if searcher.notice:
            print(searcher.notice, flush=True)
        door = Door(searcher, Bodies())
        said = f"{len(searcher.index):,} items at {address(socket)}"
        given = (arguments.events, arguments.ab, arguments.device, arguments.images)
        with application(partial(app_of, keys=keys), door, *given) as (app, doors):
            Server(app, doors, DRAIN, lambda: print(said, flush=True)).run(sockets=[socket])
    return 0

"""The same server on many machines, under Ray Serve (the extra `ray`): a replica for each share of an index.

    from interbert.serve.ray import application
    from ray import serve

    serve.run(application(["parts/0", "parts/1"], "runs/scenes_distill/export"))

Shares are of `interbert index split`; their folders must be there where their replicas run. Each replica is a
`Searcher`, so requests of all clients meet in its line; what one share says is merged with the others' at the
entrance, which is the server of `interbert serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ray import serve  # ty: ignore[import-not-found]  # an extra

from interbert.search.requests import Closing, Options
from interbert.search.searcher import Searcher
from interbert.search.shards import THREADS, Call, Shards
from interbert.serve.app import app_of
from interbert.serve.body import Bodies
from interbert.serve.door import Door

WAITING = 1000
"""Requests that a replica has at once: how many are too many its line decides."""


class _Share:
    """One share of the items."""

    def __init__(self, index: str, model: str, options: Options, device: str | None) -> None:
        self._searcher = Searcher.open(Path(index), Path(model), options, device)
        self._searcher.warm()

    async def call(self, name: str, *given: Any) -> tuple[Any, Exception | None]:
        """What is wrong with a request is answered, not raised: Ray would wrap it into an error of its own."""
        try:
            if name == "submit":
                future: Future[Any] = await asyncio.to_thread(self._searcher.submit, *given)
                return await asyncio.wrap_future(future), None
            found = getattr(self._searcher, name)
            return await asyncio.to_thread(found, *given) if callable(found) else found, None
        except Exception as error:
            return None, error

    def check_health(self) -> None:
        """Raises where Ray is to start it anew."""
        if not self._searcher.alive:
            raise RuntimeError("the thread that runs the model has ended")

    def __del__(self) -> None:
        if hasattr(self, "_searcher"):
            self._searcher.close()


_HERE: dict[str, Any] = {}
"""The application of this process: Ray copies objects that it is given from process to process, but not modules."""


def _entrance() -> Any:
    return _HERE["app"]


class _Front:
    def __init__(self, *shares: Any, options: Options, keys: list[str] | None, names: Sequence[str]) -> None:
        pool = ThreadPoolExecutor(THREADS, "shares")
        shards = Shards([_called(share, pool) for share in shares], options)
        _HERE["app"] = app_of(Door(shards, Bodies()), keys, names=names)


def _called(share: Any, pool: ThreadPoolExecutor) -> Call:
    def call(name: str, *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        response = share.call.remote(name, *given)

        def leave(done: Future[Any]) -> None:
            if done.cancelled():
                response.cancel()

        def wait() -> None:
            try:
                found, error = response.result()
            except Exception as failed:  # a replica that has ended, or was told to end
                found, error = None, Closing(f"a share of the index does not answer: {failed}")
            if not future.cancelled():
                future.set_exception(error) if error is not None else future.set_result(found)

        future.add_done_callback(leave)
        pool.submit(wait)
        return future

    return call


def application(
    shares: Sequence[str | Path],
    model: str | Path,
    options: Options = Options(),  # noqa: B008 (frozen)
    keys: list[str] | None = None,
    names: Sequence[str] = (),
    device: str | None = None,
    **resources: Any,
) -> Any:
    """For `ray.serve.run`. shares: folders of `interbert index split`, in their order. resources: of each replica, as
    of Ray's `ray_actor_options`, such as num_gpus=1."""
    replicas = [
        serve.deployment(_Share)
        .options(
            name=f"share-{number}",
            max_ongoing_requests=WAITING,
            ray_actor_options=resources or {"num_cpus": 1},
        )
        .bind(str(path), str(model), options, device)
        for number, path in enumerate(shares)
    ]
    front = serve.deployment(serve.ingress(_entrance)(_Front))
    return front.options(name="front", max_ongoing_requests=WAITING).bind(
        *replicas, options=options, keys=keys, names=list(names)
    )

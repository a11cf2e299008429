"""Before the servers of two models: each user meets one of them, always the same, and what is answered is noted.

A request may name its arm (`x-arm`): it goes there, and is no part of the trial.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, cast

from interbert.ab.experiment import Experiment, must_be_user
from interbert.ab.record import Record, Searched
from interbert.search.searcher import Searcher
from interbert.serve.door import Door
from interbert.serve.faults import CLIENT_LEFT, said

PATHS = ("/search", "/recommend")
"""What is counted."""


class Trial:
    def __init__(self, experiment: Experiment, doors: Mapping[str, Door], record: Record) -> None:
        """doors: of each arm, the server's own first."""
        self.experiment, self.doors, self.record = experiment, dict(doors), record

    def told(self) -> dict[str, Any]:
        """{"events", "lost", "name", "arms": {name: {"share", "model"}}}; arms is None of a single one. lost:
        searches that the disk was too slow or too full for."""
        arms = {
            name: {"share": self.experiment.arms[name].share, "model": door.searcher.info()["model"]}
            for name, door in self.doors.items()
        }
        told = {"events": True, "lost": self.record.lost, "name": self.experiment.name}
        return told | {"arms": arms if len(arms) > 1 else None}


class Dealt:
    """An ASGI application of several: one for each arm, of which the first answers all that has no arm."""

    def __init__(self, trial: Trial, apps: Mapping[str, Any]) -> None:
        self._trial, self._apps, self._own = trial, dict(apps), next(iter(apps.values()))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self._own(scope, receive, send)
        headers = dict(scope["headers"])
        named, user = (headers.get(name, b"").decode("latin-1") for name in (b"x-arm", b"x-user"))
        counted = scope["method"] == "POST" and scope["path"] in PATHS
        if named:
            if named not in self._apps:
                text = f"x-arm is {named[:40]!r}, and there is no such arm; GET /trial says which there are"
                return await said(422, "invalid", text)(scope, receive, send)
            return await self._apps[named](scope, receive, _with_arm(send, named) if counted else send)
        if not user or not counted:
            return await self._own(scope, receive, send)
        try:
            must_be_user(user)
        except ValueError as error:
            return await said(422, "invalid", str(error))(scope, receive, send)
        arm = self._trial.experiment.arm_of(user)
        if arm is None:
            return await self._own(scope, receive, send)
        await self._counted(arm, user, scope, receive, send)

    async def _counted(self, arm: str, user: str, scope: Any, receive: Any, send: Any) -> None:
        began, search, status = time.monotonic(), uuid.uuid4().hex, 500
        index = cast(Searcher, self._trial.doors[arm].searcher).index  # an index in shares has no trials
        model, sequence = index.about["model"], index.sequence
        noted = False

        def note() -> None:
            nonlocal noted
            if not noted and (status in (200, 429, CLIENT_LEFT) or status >= 500):
                mark, spent = self._trial.experiment.mark_of(user), time.monotonic() - began
                self._trial.record.note(
                    Searched(search, time.time(), mark, arm, model, sequence, status, spent)
                )
            noted = True

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                of = [(b"x-arm", arm.encode()), (b"x-search", search.encode())]
                message["headers"] = [*message["headers"], *of]
            elif not message.get("more_body"):
                note()  # before it is sent: an event that comes of it stands behind it in the line
            await send(message)

        try:
            await self._apps[arm](scope, receive, sent)
        finally:
            note()


def _with_arm(send: Any, arm: str) -> Any:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-arm", arm.encode())]
        await send(message)

    return sent

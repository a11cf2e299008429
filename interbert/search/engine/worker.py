"""The thread that runs the model: takes what the line holds, a micro-batch at a time, whoever's it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interbert.kernels.cpu import teams
from interbert.model.shared.sides import Side
from interbert.search.encoder import Encoder
from interbert.search.engine.jobs import Candidate, Image, Job, Rows, Stored, tokens_of
from interbert.search.engine.line import Line
from interbert.search.engine.ranker import Ranker, joined, split

log = logging.getLogger(__name__)


class Worker:
    def __init__(
        self, encoder: Encoder, line: Line, budget: int, read: Callable[[list[Stored]], Tensor]
    ) -> None:
        """read: the rows of stored items, one item after another."""
        self._encoder, self._ranker, self._line, self._budget, self._read = (
            encoder,
            Ranker(encoder),
            line,
            budget,
            read,
        )
        self.micro_batches = self.pairs = 0
        self._images_are_next = False
        self._writer = ThreadPoolExecutor(1, "search-writer")
        self._seeker = ThreadPoolExecutor(1, "search-seeker")
        self._thread = threading.Thread(target=self._run, name="search-model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()
        self._seeker.shutdown()
        self._writer.shutdown()

    def _run(self) -> None:
        # The model before the present one, kept for a way back, must not slow that down.
        while jobs := self._line.wait(teams.give_back):
            try:
                self._step(jobs)
            except BaseException as error:
                log.exception("the search's worker ended a micro-batch")
                # Whose it was cannot be told apart any more.
                for job in [job for job in jobs if job.started] or jobs:
                    self._give_up(job, error)

    def _step(self, jobs: list[Job]) -> None:
        """One micro-batch: texts first, for nothing can be found without; then pairs and images in turn."""
        texts = [job for job in jobs if len(job.text_sides) < len(job.texts)]
        images = [job for job in jobs if len(job.image_rows) < len(job.images)]
        pairs = [job for job in jobs if job.pairs is not None and job.pairs.left]
        if texts:
            self._encode_texts(texts)
        elif images and (self._images_are_next or not pairs):
            self._encode_images(images)
            self._images_are_next = False
        elif pairs:
            self._score(pairs)
            self._images_are_next = True
        self._go_on(jobs)

    def _go_on(self, jobs: list[Job]) -> None:
        for job in jobs:
            try:
                if job.encoded and job.pairs is None and job.then is not None:
                    job.start()
                    if job.seeks:  # nor for one whose filter lets through what lies far away
                        self._line.send_away(job)
                        self._seeker.submit(self._seek, job)
                        continue
                    self._first_stage(job)
                if job.encoded and job.then is None and job.scored:
                    if job.writes:  # the model does not wait for a disk
                        self._line.hand_over(job)
                        self._writer.submit(self._write, job)
                    else:
                        self._line.done(job)
                        job.answer(job.finish(job))
            except Exception as error:  # one request's fault is not the others'
                self._give_up(job, error)

    def _first_stage(self, job: Job) -> None:
        began = time.monotonic()
        then, job.then = job.then, None
        assert then is not None
        job.pairs = then(job)
        job.spent["first_stage"] += time.monotonic() - began
        if job.pairs is not None:
            job.tokens = int(job.tokens_left.sum())

    def _seek(self, job: Job) -> None:
        try:
            self._first_stage(job)
        except Exception as error:
            if not job.over():
                self._give_up(job, error)
                return
        self._line.back(job)  # which lets it go where it is over

    def _write(self, job: Job) -> None:
        try:
            if job.keep():
                job.answer(job.finish(job))
        except Exception as error:
            job.fail(error)
        finally:
            self._line.done(job)
            teams.give_back()  # rows of many images are joined by several threads

    def _give_up(self, job: Job, error: BaseException) -> None:
        self._line.done(job)
        job.fail(error)

    def _encode_texts(self, jobs: list[Job]) -> None:
        taken = self._take(jobs, lambda job: [len(ids) for ids in job.texts[len(job.text_sides) :]])
        ids = [job.texts[len(job.text_sides) + n] for job, count in taken for n in range(count)]
        side, vectors = self._timed(
            taken, sum(map(len, ids)), lambda: self._encoded("text", self._encoder.text_side(ids), taken)
        )
        sides, at = split(side), 0
        for job, count in taken:
            job.text_sides += sides[at : at + count]
            if job.vectors and vectors is not None:
                job.text_vectors += [next(vectors) for _ in range(count)]
            at += count

    def _encode_images(self, jobs: list[Job]) -> None:
        taken = self._take(jobs, lambda job: [image.tokens for image in job.images[len(job.image_rows) :]])
        images = [job.images[len(job.image_rows) + n] for job, count in taken for n in range(count)]
        side, vectors = self._timed(
            taken,
            sum(image.tokens for image in images),
            lambda: self._encoded("image", self._encoder.image_side(*_packed(images)), taken),
        )
        rows = iter(side.x_SH.cpu().split(side.lengths.tolist()))
        for job, count in taken:
            for _ in range(count):
                vector_W = next(vectors) if job.vectors and vectors is not None else None
                job.image_rows.append(Rows(next(rows), vector_W))

    def _encoded(
        self, name: Literal["text", "image"], side: Side, taken: list[tuple[Job, int]]
    ) -> tuple[Side, Iterator[np.ndarray] | None]:
        """And the vectors of those whose job reads them, one after another."""
        reads = np.repeat([job.vectors for job, _ in taken], [count for _, count in taken])
        if not reads.any():
            return side, None
        reading = (
            side
            if reads.all()
            else joined([one for one, read in zip(split(side), reads, strict=True) if read])
        )
        vectors = self._encoder.vectors(name, reading)
        return side, None if vectors is None else iter(vectors)

    def _score(self, jobs: list[Job]) -> None:
        taken = self._take(jobs, lambda job: job.tokens_left[: self._budget])
        sides, candidates, text_of, item_of = [], [], [], []
        for job, count in taken:
            pairs = job.pairs
            assert pairs is not None
            text_at, width = len(sides), len(pairs.candidates)
            sides += pairs.texts
            numbers = range(pairs.done, pairs.done + count)
            own = sorted({pair % width for pair in numbers})
            place_of = {place: len(candidates) + n for n, place in enumerate(own)}
            candidates += [pairs.candidates[place] for place in own]
            text_of += [text_at + pair // width for pair in numbers]
            item_of += [place_of[pair % width] for pair in numbers]
        try:
            rows_SH = self._rows(candidates)
        except OSError:
            self._leave_out_what_cannot_be_read(job for job, _ in taken)
            return
        lengths_I = np.array([tokens_of(one) for one in candidates], np.int64)
        tokens = int(lengths_I[item_of].sum()) + sum(len(sides[text].x_SH) for text in text_of)
        odds_P = self._timed(
            taken,
            tokens,
            lambda: self._ranker.log_odds(sides, rows_SH, lengths_I, np.array(text_of), np.array(item_of)),
        )
        at = 0
        for job, count in taken:
            pairs = job.pairs
            assert pairs is not None
            pairs.odds[pairs.done : pairs.done + count] = odds_P[at : at + count]
            pairs.done, at = pairs.done + count, at + count
            job.tokens = int(job.tokens_left.sum())
            if not np.isfinite(pairs.odds[: pairs.done]).all():
                said = "the model gives a pair a score that is no number: are all features finite?"
                self._give_up(job, ValueError(said))
        self.pairs += len(odds_P)

    def _leave_out_what_cannot_be_read(self, jobs: Iterable[Job]) -> None:
        """An item that is broken is the fault of those alone who ask for it."""
        for job in jobs:
            assert job.pairs is not None
            try:
                self._rows(job.pairs.candidates)
            except OSError as error:
                self._give_up(job, error)

    def _rows(self, candidates: Sequence[Candidate]) -> Tensor:
        """Of all of them, one after another."""
        stored = [one for one in candidates if isinstance(one, Stored)]
        if len(stored) == len(candidates):
            return self._read(stored)
        parts = iter(self._read(stored).split([one.tokens for one in stored]) if stored else ())
        return torch.cat([next(parts) if isinstance(one, Stored) else one.rows_SH for one in candidates])

    def _take(
        self, jobs: list[Job], tokens_of: Callable[[Job], Sequence[int] | np.ndarray]
    ) -> list[tuple[Job, int]]:
        """How many pieces of each job fill a micro-batch, in the order of the line; the first piece always fits."""
        left, taken = self._budget, []
        for job in jobs:
            ends = np.cumsum(tokens_of(job))
            count = int(np.searchsorted(ends, left, side="right"))
            if not taken and not count:
                count = 1
            if count:
                job.start()
                taken.append((job, count))
                left -= int(ends[count - 1])
            if count < len(ends):
                break
        return taken

    def _timed(self, taken: list[tuple[Job, int]], tokens: int, run: Callable):
        began = time.monotonic()
        found = run()
        took = time.monotonic() - began
        for job, _ in taken:
            job.spent["model"] += took
        self.micro_batches += 1
        self._line.ran(tokens, took)
        return found


def _packed(images: Sequence[Image]) -> tuple[Tensor, Tensor, np.ndarray]:
    return (
        torch.from_numpy(np.concatenate([image.features_RD for image in images])),
        torch.from_numpy(np.concatenate([image.boxes_R5 for image in images])),
        np.array([len(image.boxes_R5) for image in images], np.int64),
    )

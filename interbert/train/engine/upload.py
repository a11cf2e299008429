"""Brings a step's batches to the device, the next one while the one before it is worked on."""

from collections import deque
from collections.abc import Callable, Iterator

import torch

from interbert.batches.batch import Batch


class Upload:
    """On a GPU copies go on a stream of their own, and never more than two batches lie there: the one that is
    worked on, and the next. On a CPU batches stay where they are."""

    def __init__(self, device: torch.device, complete: Callable[[Batch], Batch] | None = None) -> None:
        """complete: what is still to be computed for a batch once it is there."""
        self._device = device
        self._complete = complete or (lambda batch: batch)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._copied: torch.cuda.Event | None = None
        self._worked_off: deque[torch.cuda.Event] = deque()

    def __call__(self, batches: list[Batch]) -> Iterator[Batch]:
        """The batches, there. The first is on its way when this returns; what is done with one is to be asked of
        the device before the next is taken."""
        return self._arriving(deque([self._send(batches[0])]), batches[1:])

    def wait(self) -> None:
        """Until what was sent is copied: its memory may be used again."""
        if self._copied:
            self._copied.synchronize()

    def _arriving(self, sent: deque[Batch], following: list[Batch]) -> Iterator[Batch]:
        for batch in [*following, None]:
            yield self._complete(self._received(sent.popleft()))
            if self._stream:
                self._worked_off.append(torch.cuda.current_stream(self._device).record_event())
            if batch is not None:
                sent.append(self._send(batch))

    def _send(self, batch: Batch) -> Batch:
        if not self._stream:
            return batch.to(self._device)
        while len(self._worked_off) > 1:  # of all but the one that is worked on
            self._worked_off.popleft().synchronize()
        with torch.cuda.stream(self._stream):
            sent = batch.to(self._device)
            self._copied = self._stream.record_event()
        return sent

    def _received(self, sent: Batch) -> Batch:
        if self._stream:
            worker = torch.cuda.current_stream(self._device)
            worker.wait_event(self._copied)
            # So that no later copy takes its memory before the work on it is done.
            for tensor in sent.tensors():
                tensor.record_stream(worker)
        return sent

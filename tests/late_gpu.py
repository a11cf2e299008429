"""A stand-in for a GPU where there is none: its streams do nothing until somebody waits for them.

So a wait that is missing shows: what was not copied yet is garbage, and memory that was used again too early is, too.
Streams and events have the methods of torch's own classes, with their parameters, and no others.
"""

import inspect
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode

GARBAGE = 99


class Event:
    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        self._stream, self._passed = None, True

    def record(self, stream=None):
        self._stream, self._passed = stream or torch.cuda.current_stream(), False
        self._stream.later(self._pass)

    def wait(self, stream=None):
        (stream or torch.cuda.current_stream()).later(self.synchronize)

    def query(self):
        return self._passed

    def synchronize(self):
        while not self._passed:
            self._stream.do_next()

    def _pass(self):
        self._passed = True


class Stream:
    def __init__(self, device=None, priority=0):
        self._work = deque()

    def record_event(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        event.wait(self)

    def wait_stream(self, stream):
        self.wait_event(stream.record_event())

    def query(self):
        return not self._work

    def synchronize(self):
        while self._work:
            self.do_next()

    def later(self, work: Callable[[], object]) -> None:
        """Of the stand-in: what this stream does when its turn comes."""
        self._work.append(work)

    def do_next(self) -> None:
        self._work.popleft()()


OF_THE_STAND_IN = {"later", "do_next"}


def check_likeness() -> None:
    """Every method of the stand-ins is one of the real classes, with the same parameters."""
    for ours, real in ((Stream, torch.cuda.Stream), (Event, torch.cuda.Event)):
        for name, method in vars(ours).items():
            if inspect.isfunction(method) and not name.startswith("_") and name not in OF_THE_STAND_IN:
                assert parameters(method) == parameters(getattr(real, name)), f"{ours.__name__}.{name}"
        made = inspect.signature(ours.__init__).parameters
        assert set(made) - {"self"} <= set(inspect.signature(real.__new__).parameters), ours.__name__


def parameters(method: Callable) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


class LateGpu(TorchFunctionMode):
    """Within it, tensors can be sent to `cuda` and back, by their stream."""

    def __init__(self, devices: int = 1) -> None:
        super().__init__()
        self.devices, self.chosen, self.pinned = devices, 0, 0
        self._current = Stream()
        self._streams_of: dict[int, set[Stream]] = {}

    def install(self, monkeypatch) -> None:
        check_likeness()
        for name, value in {
            "Stream": Stream,
            "Event": Event,
            "stream": self._stream,
            "current_stream": lambda device=None: self._current,
            "is_available": lambda: True,
            "device_count": lambda: self.devices,
            "set_device": self._set_device,
            "get_device_capability": lambda device=None: (9, 0),
            "max_memory_allocated": lambda device=None: 3_000_000_000,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        record = lambda tensor, stream: self._streams_of[id(tensor)].add(stream)  # noqa: E731
        monkeypatch.setattr(torch.Tensor, "record_stream", record)

    def __torch_function__(self, function, types, arguments=(), named=None):
        named = dict(named or {})
        if named.pop("pin_memory", False) or function is torch.Tensor.pin_memory:
            self.pinned += 1
        if function is torch.Tensor.pin_memory:
            return arguments[0]
        if function is torch.Tensor.to and torch.device(arguments[1]).type == "cuda":
            return self._send(arguments[0], named["non_blocking"])
        if function is torch.Tensor.copy_ and id(arguments[1]) in self._streams_of:
            assert named["non_blocking"]
            there, source = arguments[0], arguments[1].detach()
            self._current.later(lambda: there.copy_(source))
            return there
        return function(*arguments, **named)

    def _send(self, source: torch.Tensor, non_blocking: bool) -> torch.Tensor:
        assert non_blocking
        there = torch.full_like(source, GARBAGE)
        own, data = self._current, there.detach()
        own.later(lambda: data.copy_(source))
        streams = self._streams_of[id(there)] = {own}
        # As torch's allocator has it: memory is used again at once by its own stream, and by the others that were
        # recorded when they have done what they were asked until then.
        key = id(there)
        weakref.finalize(there, lambda: self._free(key, data, streams - {own}))
        return there

    def _free(self, key: int, data: torch.Tensor, recorded: set[Stream]) -> None:
        self._streams_of.pop(key, None)
        for stream in recorded:
            stream.later(lambda: data.fill_(GARBAGE))
        if not recorded:
            data.fill_(GARBAGE)

    def work(self, use: Callable[..., object], *tensors: torch.Tensor) -> None:
        """A kernel on the current stream that reads these tensors."""
        data = [tensor.detach() for tensor in tensors]
        self._current.later(lambda: use(*data))

    def _set_device(self, device) -> None:
        self.chosen = torch.device(device).index

    @contextmanager
    def _stream(self, stream: Stream) -> Iterator[None]:
        before, self._current = self._current, stream
        try:
            yield
        finally:
            self._current = before

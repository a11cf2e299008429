"""What training does on a GPU, on a stand-in for one."""

import pytest
import small_world
import torch
import torch.distributed as dist
from late_gpu import LateGpu
from made_batches import make_batch

from interbert.ranks.begun_sum import begin_sum
from interbert.ranks.distributed import Ranks
from interbert.train.engine.upload import Upload
from interbert.train.monitor.monitor import memory_gigabytes

CUDA = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch):
    gpu = LateGpu()
    gpu.install(monkeypatch)
    with gpu:
        yield gpu


def work_on(gpu, upload: Upload, seen: list[set[float]]) -> None:
    """Twelve batches, brought as the loop does it, in slots that are used again. seen: what the work on each reads,
    one number where nothing is missing."""
    slots = [make_batch([5, 9], [4, 1]) for _ in range(4)]

    def fill(step):
        for number, slot in enumerate(slots):
            for tensor in slot.tensors():
                tensor.fill_(10 * step + number + 1)
        return slots

    arriving = upload(fill(0))
    for step in range(3):
        for batch in arriving:
            numbers = [tensor for tensor in batch.tensors() if tensor.dtype != torch.bool]
            gpu.work(lambda *data: seen.append({float(n) for x in data for n in x.unique()}), *numbers)
            del numbers
        upload.wait()
        if step < 2:
            arriving = upload(fill(step + 1))
    torch.cuda.current_stream().synchronize()


WHOLE = [{10.0 * step + number + 1} for step in range(3) for number in range(4)]


def test_every_batch_is_whole_when_it_is_worked_on_and_two_at_most_are_there(gpu):
    seen, there = [], []
    upload = Upload(CUDA, complete=lambda batch: there.append(True) or batch)
    send, most = upload._send, []

    def counted(batch):
        result = send(batch)
        most.append(len(most) + 1 - len(seen))
        return result

    upload._send = counted
    work_on(gpu, upload, seen)
    assert seen == WHOLE
    assert max(most) == 2 and len(there) == 12


@pytest.mark.parametrize("missing", ["wait_event", "record_stream", "wait"])
def test_a_wait_that_is_missing_is_found(gpu, monkeypatch, missing):
    """Of the work for its copy; of the memory's next copy for the work; of the slot's next reading for its copy."""
    owner = {"wait_event": torch.cuda.Stream, "record_stream": torch.Tensor, "wait": Upload}[missing]
    monkeypatch.setattr(owner, missing, lambda *_: None)
    seen: list[set[float]] = []
    work_on(gpu, Upload(CUDA), seen)
    assert seen != WHOLE


def test_copies_go_beside_the_work(gpu):
    """The next batch is copied while nothing of the work on this one is done."""
    upload, order = Upload(CUDA), []
    arriving = upload([make_batch([5], [4]), make_batch([6], [3])])
    next(arriving)
    gpu.work(lambda: order.append("worked"))
    next(arriving)
    upload.wait()
    assert order == []


def test_on_a_cpu_batches_stay_where_they_are():
    batches = [make_batch([5], [4]), make_batch([6], [3])]
    upload = Upload(torch.device("cpu"))
    for here, there in zip(batches, upload(batches), strict=True):
        assert all(a is b for a, b in zip(here.tensors(), there.tensors(), strict=True))
    upload.wait()


def test_counts_are_summed_by_the_gpus_and_waited_for_alone(gpu, monkeypatch):
    order = []

    def all_reduce(tensor):  # of two ranks that have the same
        gpu.work(lambda data: order.append("summed") or data.mul_(2), tensor)

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    gpu.work(lambda: order.append("backward"))
    sums = begin_sum([3, 0.5, 2**52 + 1], Ranks(0, 2, 0, CUDA, "test"))
    gpu.work(lambda: order.append("update"))
    assert order == []
    assert sums() == [6.0, 1.0, 2.0**53 + 2] and order == ["backward", "summed"]


def test_one_rank_asks_nobody(gpu):
    assert begin_sum([3, 0.5], Ranks(0, 1, 0, CUDA, "test"))() == [3.0, 0.5]


def test_slots_are_pinned_where_there_is_a_gpu(gpu, tmp_path):
    from interbert.batches.loader import Loader
    from interbert.batches.masking import Vocabulary
    from interbert.batches.plan import Plan
    from interbert.batches.prepare import Preparer
    from interbert.corpus.tokens import token_table

    words, wanted = small_world.WordTokenizer(), small_world.settings()
    with small_world.open_world(tmp_path) as corpus:
        tokens = token_table(corpus, words, 12)
        plan = Plan(corpus, tokens, wanted)
        preparer = Preparer(corpus, tokens, plan, wanted, Vocabulary.of(words))
        with Loader(preparer, plan, wanted) as loader:
            slots = len(loader._free)
            assert gpu.pinned == slots * len(vars(loader._free[0])) > 0


def test_memory_is_the_devices(gpu):
    assert memory_gigabytes(CUDA) == 3.0
    assert 0 < memory_gigabytes(torch.device("cpu")) != 3.0

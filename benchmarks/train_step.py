"""One optimizer step at `base` size: through the engine as a run takes it; and the models alone: interbert packed,
its padded twin, Hugging Face VisualBERT.

The engine's is a step of `interbert_base` on random data, with loader, upload and everything (step_engine.py), whole
and in parts. The models do forward, backward, gradient clipping and AdamW on one and the same batch. Dropout is on in
all. The matrix peak is measured in the same run: of a large square product, and of the best of the model's own.

`--device cuda` times a GPU; `--pairs 512` and more are what fills one.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.step_engine import measure_engine, now, print_engine
from benchmarks.step_optimizer import Optimizer
from benchmarks.step_work import REGIONS, TEXT, make_batch, model_operations
from interbert import objectives
from interbert.batches.batch import Batch
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.kernels.cpu.host_memory import reuse_freed_memory
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.model.outputs import PackedOutput
from interbert.model.padded import forward_padded, pad
from interbert.model.shape.heads_needed import needs
from interbert.ranks.distributed import start_ranks

ENGINE = "engine"
OBJECTIVES = ["msm", "mrm", "itm"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    reuse_freed_memory()  # as training does on a CPU; for all contenders alike
    config = InterBertConfig.from_preset(arguments.preset)
    batch = make_batch(config, arguments.pairs).to(arguments.device)
    operations = model_operations(config, batch)
    ranks = start_ranks() if ENGINE in arguments.models else None
    figures: dict[str, Any] = {"pairs": batch.pairs, "tokens": batch.tokens, "model_operations": operations}
    for precision in arguments.precisions:
        found = figures[precision] = measure(config, batch, precision, arguments)
        if ranks:
            with tempfile.TemporaryDirectory() as folder:
                found[ENGINE] = measure_engine(precision, arguments, Path(folder), ranks)
            print_engine(precision, found[ENGINE], max(found["square"]))
        if found["seconds"]:
            print_table(precision, found, operations, batch)
    if ranks:
        ranks.close()
    report.write_json(arguments.json, figures)


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--preset", default="base", choices=["tiny", "small", "base"])
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each, after one for warming up")
    parser.add_argument(
        "--precisions", nargs="+", choices=list(DTYPES), help="default: those that it is fit for"
    )
    models = [ENGINE, *CONTENDERS]
    parser.add_argument("--models", nargs="+", default=models, choices=models)
    parser.add_argument(
        "--graphs", default="auto", choices=["auto", "true", "false"], help="of the engine's step"
    )
    parser.add_argument("--images", type=int, default=2000, help="of the engine's random store (170 KB each)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    if ENGINE in arguments.models and (arguments.device == "cuda") != torch.cuda.is_available():
        parser.error("the engine trains on the GPU of this machine where there is one, and else on the CPU")
    both = ["bf16", "fp32"] if has_bf16(torch.device(arguments.device)) else ["fp32"]
    arguments.precisions = arguments.precisions or both
    return arguments


def measure(
    config: InterBertConfig, batch: Batch, precision: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Seconds of each contender's steps, and the peaks between them (the best one counts)."""
    dtype = DTYPES[precision]
    found: dict[str, Any] = {
        "seconds": {},
        "square": [square_peak(dtype, arguments.device)],
        "own": [own_peak(config, batch, dtype)],
    }
    for name in (name for name in arguments.models if name != ENGINE):
        torch.manual_seed(0)
        found["seconds"][name] = time_steps(*CONTENDERS[name](config, batch, dtype), arguments.steps)
        found["square"].append(square_peak(dtype, arguments.device))
    found["own"].append(own_peak(config, batch, dtype))
    return found


def time_steps(model: torch.nn.Module, loss_of: Callable[[], torch.Tensor], steps: int) -> list[float]:
    optimizer = Optimizer(model)
    seconds = []
    for _ in range(steps + 1):
        start = now()
        loss_of().backward()
        optimizer.step()
        seconds.append(now() - start)
    return seconds[1:]


def packed(config: InterBertConfig, batch: Batch, dtype: torch.dtype):
    model = InterBertForPreTraining.from_seed(config, 0).to(batch.cu_text.device, dtype).train()
    heads = needs(OBJECTIVES)
    return model, lambda: total_loss(model.forward_packed(batch, heads), batch)


def padded(config: InterBertConfig, batch: Batch, dtype: torch.dtype):
    model = InterBertForPreTraining.from_seed(config, 0).to(batch.cu_text.device, dtype).train()
    return model, lambda: total_loss(forward_padded(model, batch, TEXT[1], REGIONS[1]), batch)


def total_loss(output: PackedOutput, batch: Batch) -> torch.Tensor:
    found = objectives.losses(OBJECTIVES, output, batch)
    return sum(loss.sum / loss.count for loss in found.values())


def visual_bert(config: InterBertConfig, batch: Batch, dtype: torch.dtype):
    """As it comes: padded, word head over every place, labels -100 where nothing is masked."""
    from transformers import VisualBertConfig, VisualBertForPreTraining

    joint = config.encoder_stages[0]
    theirs = VisualBertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.encoder_stages[0].layers + config.encoder_stages[1].layers,
        num_attention_heads=joint.heads,
        intermediate_size=joint.intermediate_size,
        visual_embedding_dim=config.feature_width,
    )
    model = VisualBertForPreTraining(theirs).to(batch.cu_text.device, dtype).train()
    labels_T = torch.full_like(batch.input_ids_T, -100)
    labels_T[batch.masked_tokens_M] = batch.token_targets_M
    ids, text_mask = pad(batch.input_ids_T, batch.cu_text, TEXT[1])
    labels, _ = pad(labels_T + 100, batch.cu_text, TEXT[1])
    features, image_mask = pad(batch.features_RD.to(dtype), batch.cu_regions, REGIONS[1] + 1)
    ignored = labels.new_full(image_mask.shape, -100)
    inputs = {
        "input_ids": ids,
        "attention_mask": text_mask.long(),
        "visual_embeds": features,
        "visual_attention_mask": image_mask.long(),
        "visual_token_type_ids": image_mask.long(),
        "labels": torch.cat([labels - 100, ignored], 1),
        "sentence_image_labels": 1 - batch.is_match_P,
    }
    return model, lambda: model(**inputs).loss


CONTENDERS = {"packed": packed, "padded twin": padded, "VisualBERT": visual_bert}


def square_peak(dtype: torch.dtype, device: str, size: int = 4096) -> float:
    """Operations a second of size x size x size."""
    a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    return 2 * size**3 / best_time(lambda: a @ b)


def own_peak(config: InterBertConfig, batch: Batch, dtype: torch.dtype) -> float:
    """The best that any of the joint layers' products reaches, forward or backward."""
    H, inner, rows = config.hidden_size, config.encoder_stages[0].intermediate_size, batch.tokens
    rates = []
    for inputs, outputs in ((H, 3 * H), (H, H), (H, inner), (inner, H)):
        device = batch.cu_text.device
        x, w, g = (
            torch.randn(*shape).to(device, dtype)
            for shape in ((rows, inputs), (outputs, inputs), (rows, outputs))
        )
        for product in (lambda x=x, w=w: x @ w.t(), lambda g=g, w=w: g @ w, lambda g=g, x=x: g.t() @ x):
            rates.append(2 * rows * inputs * outputs / best_time(product))
    return max(rates)


def best_time(function: Callable[[], Any], repeats: int = 4) -> float:
    function()
    best = float("inf")
    for _ in range(repeats):
        start = now()
        function()
        best = min(best, now() - start)
    return best


def print_table(precision: str, found: dict[str, Any], operations: float, batch: Batch) -> None:
    square, own = max(found["square"]), max(found["own"])
    best = {name: min(seconds) for name, seconds in found["seconds"].items()}
    against = best.get("VisualBERT", float("nan"))
    rows = []
    for name, seconds in best.items():
        # Padding and a word head over every place are not work that the model asks for.
        rate = operations / seconds if name != "VisualBERT" else None
        share = [f"{rate / 1e12:.3g}", f"{rate / square:.0%}", f"{rate / own:.0%}"] if rate else ["", "", ""]
        rates = [batch.pairs / seconds, batch.tokens / seconds]
        rows.append([name, seconds, *rates, f"{against / seconds:.2f}x", *share])
    header = [
        "",
        "s/step",
        "pairs/s",
        "tokens/s",
        "VisualBERT = 1",
        "model TFLOP/s",
        "of 4096^3",
        "of own best",
    ]
    report.table(f"{precision}, {batch.pairs} pairs a step ({report.machine()})", header, rows)
    print(f"matrix peak: {square / 1e9:,.0f} GFLOP/s at 4096^3, {own / 1e9:,.0f} in the model's best product")


if __name__ == "__main__":
    main()

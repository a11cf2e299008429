"""A padded model as a file that other runtimes open, and the file as something to call.

Both formats come from one trace, whose numbers of pairs, tokens and regions stay open.
"""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interbert.deploy.padded_model import IMAGE, TEXT, PaddedModel

FILES = {"onnx": "model.onnx", "torch-export": "model.pt2"}
INPUTS = (*TEXT, *IMAGE)
Run = Callable[[tuple[Tensor, ...]], list[Tensor]]
"""Inputs in the order of INPUTS -> outputs in the model's own."""

LARGEST = 2**31 - 2**27
"""Bytes of weights that an ONNX file can hold, protobuf's limit less some room; more lie in a file beside it."""
OPSET = 20
"""The first with an exact GELU of its own."""


class ExportError(ValueError):
    """A model, or a machine, with which this export cannot be made."""


def traced(model: PaddedModel) -> torch.export.ExportedProgram:
    """For any number of pairs, tokens and regions from one up."""
    groups = torch.export.Dim("examples", min=1)
    pairs = groups if model.images == 1 else model.images * groups
    tokens = torch.export.Dim("tokens", min=1, max=model.config.max_position_embeddings)
    regions = torch.export.Dim("regions", min=1)
    text, image = {0: pairs, 1: tokens}, {0: pairs, 1: regions}
    with torch.no_grad():
        return torch.export.export(
            model.eval(), _example(model), dynamic_shapes=((text,) * len(TEXT)) + ((image,) * len(IMAGE))
        )


def _example(model: PaddedModel) -> tuple[Tensor, ...]:
    """Sizes that no other size equals, so that none is taken for another."""
    pairs, tokens, regions = 2 * model.images, min(7, model.config.max_position_embeddings), 5
    ids = torch.zeros(pairs, tokens, dtype=torch.int64)
    features = torch.zeros(pairs, regions, model.config.feature_width)
    mask = torch.ones(pairs, regions, dtype=torch.int64)
    return ids, torch.ones_like(ids), ids.clone(), features, torch.zeros(pairs, regions, 5), mask


def write(program: torch.export.ExportedProgram, outputs: tuple[str, ...], file: Path, kind: str) -> None:
    if kind == "torch-export":
        torch.export.save(program, file)
        return
    _needed("onnx", "onnxscript")
    with _quiet():
        written = torch.onnx.export(
            program,
            input_names=INPUTS,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    size = sum(weight.numel() * weight.element_size() for weight in program.state_dict.values())
    written.save(file, external_data=size > LARGEST)


def opened(file: Path, threads: int) -> Run:
    if file.suffix == ".pt2":
        # Of two images an example the tracer holds that there are two examples at least; the program does not.
        module = torch.export.load(file).module(check_guards=False)

        def run_torch(inputs: tuple[Tensor, ...]) -> list[Tensor]:
            with torch.inference_mode():
                return list(module(*inputs))

        return run_torch
    runtime = _needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    known = {one.name for one in session.get_inputs()}

    def run_onnx(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        given = {name: x.numpy() for name, x in zip(INPUTS, inputs, strict=True) if name in known}
        return [torch.from_numpy(x) for x in session.run(None, given)]

    return run_onnx


def quantise_onnx(file: Path, to: Path) -> None:
    """Weights as int8, one scale a column; what they are multiplied with as uint8, measured as it comes."""
    _needed("onnx", "onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            file,
            to,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
            use_external_data_format=file.with_name(f"{file.name}.data").exists(),
        )


def _needed(*names: str) -> Any:
    """The first of these packages; all of them are there."""
    try:
        return next(iter([importlib.import_module(name) for name in names]))
    except ImportError as error:
        raise ExportError(
            f"--format onnx needs the package {error.name}: pip install 'interbert[export]', or take "
            "--format torch-export"
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say of packages and names that nobody here asked for."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root", "")]
    levels = [logger.level for logger in noisy]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(noisy, levels, strict=True):
                logger.setLevel(level)

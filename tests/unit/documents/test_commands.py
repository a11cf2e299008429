"""Whoever types what README and docs say is not refused.

Local verbs really run, in a folder that holds what the page speaks of, one command after the other as a reader would
type them. Training runs dry, on as many imagined ranks as its launcher would start. Benchmarks are parsed.
"""

import argparse
import importlib.util
import logging
import os
import re
import shutil
import sys
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import yaml
from torch.distributed.run import get_args_parser

from interbert.__main__ import VERBS, build_parser
from interbert.__main__ import main as run_verb
from interbert.config import Settings
from interbert.ranks.distributed import Ranks
from interbert.ranks.handover import WITH_VALUE, WITHOUT_VALUE
from interbert.recipe import load_recipe
from tests.unit.documents import world
from tests.unit.documents.launchers import unwrap
from tests.unit.documents.text import (
    JOBS,
    PAGES,
    ROOT,
    SCRIPTS,
    blocks,
    commands,
    job_commands,
    mentions,
    named_settings,
    read,
)

ONLY_PARSED = {
    "doctor": "looks at the machine that it runs on; tests of its own do that",
    "build-kernels": "needs nvcc",
    "export": "traces for some seconds; tests of its own do that",
    "serve": "ends when it is told to; a test of its own does that",
}
OTHERS = {"tensorboard": "TensorBoard's own program; of ours it takes only the name of a folder"}
OTHERS["curl"] = "what it sends, tests/unit/serve sends to a server"
FEW_SCENES = ("train_images=40", "validation_images=20", "test_images=20", f"feature_width={world.WIDTH}")
FEW_SCENES += ("train_examples=12", "validation_examples=6")
OF_SLURM = {
    "--array",
    "--ntasks-per-node",
    "--gpus-per-task",
    "--cpus-per-task",
    "--kill-on-bad-exit",
    "--exclude",
}
"""Flags of sbatch's and srun's that running text may name."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    world.fill(folder)
    return folder


@pytest.fixture
def reader(filled, tmp_path, monkeypatch):
    shutil.copytree(filled, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_STEP_ID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("wandb", "mlflow"):  # which a reader has installed
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__spec__=ModuleSpec(name, None)))
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.mark.parametrize("page", [*PAGES, *JOBS], ids=lambda page: page.name)
def test_every_command_is_accepted(page, reader, capsys):
    found = job_commands(page) if page in JOBS else commands(page)
    for command in found:
        if "…" in command.line:
            assert page in JOBS, f"{command}: write it out, so that it can be typed"
            continue
        try:
            accept(command.words)
        except (Exception, SystemExit) as refusal:
            pytest.fail(f"{command.page}: {command.line}\n{refusal}\n{capsys.readouterr().err}")


def accept(words: list[str]) -> None:
    if words[0] == "make":
        return check_make(words[1:])
    if words[0] == "pip":
        return check_pip(words[1:])
    if words[0] in OTHERS:
        return None
    start = unwrap(words)
    script, own = start.words[0], start.words[1:]
    if script == "-m":
        return accept_module(own[0], own[1:])
    if script in ("launch/pretrain.py", "launch/finetune.py", "launch/distill.py"):
        return dry_run(script, own, start.ranks, start.nodes)
    if script == "launch/evaluate.py":
        return evaluate(script, own)
    if script.startswith("benchmarks/"):
        parser_of(script).parse_args(own)
        return None
    raise AssertionError(f"the test does not know how to handle {script}")


def accept_module(module: str, words: list[str]) -> None:
    if module == "pytest":
        paths = [word for word in words if word.startswith("tests")]
        assert paths and all(Path(path).exists() for path in paths)
        return
    assert module == "interbert", module
    if words == ["--help"]:
        assert build_parser().format_help()
        return
    if words[0] in ONLY_PARSED:
        build_parser().parse_args(words)
        return
    if "--images" in words and words[0] == "scenes":
        words[words.index("--images") + 1] = "13"
    if "--count" in words:
        words[words.index("--count") + 1] = "6"
    for flag in ("--output", "--picture"):
        if flag in words and words[0] != "curate":  # which goes on where it was
            forget(Path(words[words.index(flag) + 1]))
    assert run_verb(words) == 0


def forget(output: Path) -> None:
    """What an earlier command left, or the page speaks of as already there."""
    if output.is_dir():
        shutil.rmtree(output)
    output.unlink(missing_ok=True)


def dry_run(script: str, words: list[str], ranks: int, nodes: int) -> None:
    assert not any(word.split("=")[0] in {*WITH_VALUE, *WITHOUT_VALUE} for word in words)
    if "--dry-run" not in words:
        words = [*words, "--dry-run", "--world-size", str(ranks), "--nodes", str(nodes)]
    if "--data" not in words:
        words += [word for setting in FEW_SCENES for word in ("--set", f"scenes.{setting}")]
    run_script(script, words)


def evaluate(script: str, words: list[str]) -> None:
    alone = Ranks.alone()
    import torch

    alone.device = torch.device("cpu")
    with patch("interbert.ranks.distributed.start_ranks", lambda: alone):
        run_script(script, words)
    assert Path(words[words.index("--output") + 1]).exists()


def run_script(script: str, words: list[str]) -> None:
    with patch.dict(os.environ), patch.object(sys, "argv", [script, *words]):
        assert load(script).main() == 0


def load(script: str):
    spec = importlib.util.spec_from_file_location(Path(script).stem, ROOT / script)
    module = importlib.util.module_from_spec(spec)
    with patch.object(sys, "path", [str((ROOT / script).parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


class Parser(Exception):
    """Carries a script's own parser out of it."""


def parser_of(script: str) -> argparse.ArgumentParser:
    def carry(self, *_):
        raise Parser(self)

    module = load(script)
    with patch.object(argparse.ArgumentParser, "parse_args", carry), pytest.raises(Parser) as caught:
        getattr(module, "parse_arguments", module.main)()
    return caught.value.args[0]


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, assigns, _ = word.partition("=")
        assert re.search(rf"^{name} \?=" if assigns else rf"^{name}:", makefile, re.M), f"make {word}"


def check_pip(words: list[str]) -> None:
    """Of what it would install, only this checkout is ours to say something of."""
    assert words[0] in ("install", "wheel")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for asked in re.findall(r"\[([a-z,]+)\]", " ".join(words)):
        assert set(asked.split(",")) <= set(extras), asked


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {flag for inner in action.choices.values() for flag in flags_of(inner)}
    return found


def known_flags(words: list[str]) -> set[str]:
    """Of the program that a mention names; of all of ours, where it names none."""
    script = next((word for word in words if word.endswith(".py")), None)
    if script:
        return flags_of(parser_of(script)) | set(WITH_VALUE) | {"--nproc_per_node"}
    if "launch" in words[:2]:
        return flags_of(parser_of(f"launch/{words[2]}.py")) | set(WITH_VALUE)
    if "interbert" in words:
        verbs = [word for word in words[words.index("interbert") + 1 :][:1] if not word.startswith("--")]
        assert set(verbs) <= set(VERBS), words
        return flags_of(build_parser())
    ours = flags_of(build_parser()).union(
        *(flags_of(parser_of(f"launch/{script.name}")) for script in SCRIPTS)
    )
    return ours | set(WITH_VALUE) | WITHOUT_VALUE | flags_of(get_args_parser()) | OF_SLURM


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=lambda page: page.name)
def test_what_running_text_names_is_there(page):
    for mention in mentions(page):
        words = mention.words
        if words[0] == "make":
            check_make(words[1:])
        flags = [word.split("=")[0] for word in words if word.startswith("--")]
        assert not flags or set(flags) <= known_flags(words), f"{mention.page}: {mention.line}"
        for script in (word for word in words if re.fullmatch(r"(launch|benchmarks)/\S+", word)):
            assert (ROOT / script).is_file(), f"{mention.page}: {mention.line}"
        if "-m" in words and "interbert" in words:
            known_flags(words)


def test_flags_that_running_text_gives_a_training_command(reader):
    """`--dry-run …` and `--recipe …` alone: with the rest of such a command before them."""
    usual = ["--deepspeed_config", "ds_configs/zero1_bf16.json"]
    spans = [mention.words for page in PAGES for mention in mentions(page)]
    imagined = [words for words in spans if words[0] == "--dry-run" and len(words) > 1]
    recipes = [words for words in spans if words[0] == "--recipe"]
    assert imagined and recipes
    for words in imagined:
        dry_run(
            "launch/pretrain.py", [*usual, "--recipe", "interbert_base", "--data", "shards/", *words], 1, 1
        )
    for words in recipes:
        dry_run("launch/pretrain.py", [*usual, *words], 1, 1)


def test_deepspeed_configs_are_there():
    named = set(re.findall(r"`([a-z0-9_]+)\.json`", (ROOT / "ds_configs" / "README.md").read_text()))
    assert len(named) > 5
    assert named <= {path.stem for path in (ROOT / "ds_configs").glob("*.json")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_are_there(page):
    for name in named_settings(page):
        section, key = name.split(".")
        assert key in Settings.model_fields[section].annotation.model_fields or section == "scenes", (
            f"{page.name}: {name}"
        )


@pytest.mark.parametrize(
    ("page", "text"),
    [(page, text) for page in PAGES for text in blocks(read(page), "yaml")],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_recipes_hold_together(page, text, tmp_path):
    (tmp_path / "own.yaml").write_text(text)
    assert load_recipe(str(tmp_path / "own.yaml")).name == yaml.safe_load(text)["name"]


def test_there_are_commands_of_every_kind():
    """So that a page whose commands are not found does not pass for one without any."""
    lines = [command.line for page in PAGES for command in commands(page)]
    for start in ("python -m interbert import", "deepspeed", "torchrun", "mpirun", "srun", "sbatch", "make"):
        assert any(line.startswith(start) for line in lines), start
    assert sum("launch/pretrain.py" in line for line in lines) >= 8 and job_commands(JOBS[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_links_that_a_page_names_are_there(page):
    text = read(page)
    named = re.findall(r"`((?:interbert|tests|benchmarks|launch|docs|ds_configs)/[\w./-]+)`", text)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [path for path in links if not (page.parent / path).exists()]
    missing += [
        f"{path}#{heading}"
        for path, heading in re.findall(r"\]\(((?!https?:)[^)#\s]*)#([^)\s]+)\)", text)
        if heading not in headings(page.parent / path if path else page)
    ]
    assert not missing, f"{page.name}: {missing}"


def headings(page: Path) -> set[str]:
    """As links name them."""
    unfenced = re.sub(r"^```.*?^```", "", read(page), flags=re.S | re.M)
    plain = [
        re.sub(r"[^\w\- ]", "", line.strip().lower()) for line in re.findall(r"^#+ (.*)$", unfenced, re.M)
    ]
    return {line.replace(" ", "-") for line in plain}

"""Commands as the documents write them."""

import ast
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs" / "tour.ipynb",
    ROOT / "ds_configs" / "README.md",
]
JOBS = sorted((ROOT / "launch" / "slurm").glob("*.sbatch"))
SCRIPTS = sorted((ROOT / "launch").glob("*.py"))
PROGRAMS = (
    "python",
    "deepspeed",
    "torchrun",
    "mpirun",
    "srun",
    "sbatch",
    "make",
    "tensorboard",
    "interbert",
    "pip",
)


@dataclass(frozen=True)
class Command:
    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """Without what the shell would take for itself: variables set before, and a remark behind."""
        words = shlex.split(self.line, comments=True)
        first = next((i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
        return words[first:]


def read(page: Path) -> str:
    """A page as Markdown: of a notebook its cells are fenced blocks."""
    text = page.read_text()
    if page.suffix != ".ipynb":
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        language, code = (
            ("bash", source.removeprefix("%%bash")) if source.startswith("%%bash") else ("python", source)
        )
        parts.append(source if cell["cell_type"] == "markdown" else f"```{language}\n{code.strip()}\n```\n")
    return "\n".join(parts)


def blocks(text: str, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.S | re.M)


def commands(page: Path) -> list[Command]:
    """What stands in fenced or indented blocks, to be typed as it is."""
    text = read(page)
    lines = "\n".join(blocks(text, "bash", "sh")).replace("\\\n", " ").splitlines()
    unfenced = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    lines += re.findall(rf"^    ((?:{'|'.join(PROGRAMS)}) .*)$", unfenced, re.M)
    lines = [line.strip() for line in lines]
    return [Command(page.name, line) for line in lines if line and not line.startswith(("#", "set -e"))]


def job_commands(script: Path) -> list[Command]:
    """Those in the comments at a batch script's head; one with `…` in it only shows a flag."""
    comments = re.findall(r"^#(?:   (.*))?$", script.read_text(), re.M)
    lines = "\n".join(comments).replace("\\\n", " ").splitlines()
    return [Command(script.name, line) for line in lines if line.startswith(PROGRAMS)]


def mentions(page: Path) -> list[Command]:
    """Commands and flags in running text, which may leave out what the sentence is not about."""
    text = ast.get_docstring(ast.parse(page.read_text())) if page.suffix == ".py" else read(page)
    unfenced = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", unfenced)]
    wanted = re.compile(rf"(?:{'|'.join(PROGRAMS)}) |--[a-z]")
    return [Command(page.name, span) for span in spans if wanted.match(span)]


def named_settings(page: Path) -> set[str]:
    """`section.key` in running text, with or without a value."""
    found = re.findall(r"`(?:--set )?((?:model|data|masks|mismatch|train|scenes)\.\w+)[^`]*`", read(page))
    return {name for name in found if not name.endswith((".h5", ".py"))}

"""What the README tells people to type exists."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "ds_configs" / "README.md"]


def commands() -> list[str]:
    blocks = [
        block for page in PAGES for block in re.findall(r"```(?:bash|sh)\n(.*?)```", page.read_text(), re.S)
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def test_make_commands_are_targets():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    used = {word for c in commands() if c.startswith("make") for word in c.split()[1:] if "=" not in word}
    assert {"pretrain", "test"} <= used
    assert used <= targets


def test_scripts_and_configs_exist():
    for command in commands():
        for word in command.split():
            if re.match(r"(launch|ds_configs|benchmarks)/[\w./-]+\.(py|json|sbatch)$", word):
                assert (ROOT / word).is_file(), f"{command}: no {word}"


def test_verbs_exist():
    verbs = {c.split("-m interbert ")[1].split()[0] for c in commands() if "-m interbert " in c}
    assert verbs
    done = subprocess.run(
        [sys.executable, "-m", "interbert", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    for verb in verbs:
        assert re.search(rf"\b{verb}\b", done.stdout), f"python -m interbert {verb}"


def test_recipes_exist():
    from interbert.config import recipe_names

    for command in commands():
        found = re.search(r"--recipe (\w+)\b(?!\.)", command)
        if found:
            assert found[1] in recipe_names(), command

"""Auto classes know our models once interbert is imported, whichever was imported first."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
folder = sys.argv[1]
{imports}
assert type(AutoConfig.from_pretrained(folder)).__name__ == "InterBertConfig"
for kind, name in (
    (AutoModel, "InterBertModel"),
    (AutoModelForPreTraining, "InterBertForPreTraining"),
    (AutoModelForVisualQuestionAnswering, "InterBertForQuestionAnswering"),
    (AutoProcessor, "InterBertProcessor"),
    (AutoTokenizer, "BertTokenizer"),
):
    assert type(kind.from_pretrained(folder)).__name__.startswith(name), kind
"""
OURS = "import interbert\nassert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
THEIRS = (
    "from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, "
    "AutoModelForVisualQuestionAnswering, AutoProcessor, AutoTokenizer"
)


@pytest.mark.parametrize("imports", [f"{OURS}\n{THEIRS}", f"{THEIRS}\nimport interbert"])
def test_whichever_is_imported_first(world, imports):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + PROGRAM.format(imports=imports)
    done = subprocess.run([sys.executable, "-c", program, world / "model"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

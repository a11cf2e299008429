"""An engine without DeepSpeed: a real one's class and fields, for whatever only judges or ends a run."""

import ast
import inspect
import textwrap

from torch import nn

from interbert.config import Settings
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.engine import Engine
from interbert.train.task import Term


def plain_engine(
    settings: Settings, terms: dict[str, Term], step: nn.Module | None = None, stage: int = 0
) -> Engine:
    """step: stands where DeepSpeed's would be around it."""
    engine = object.__new__(Engine)
    engine.settings, engine.terms, engine.head = settings, terms, ()
    engine.config = EngineConfig("cpu", {}, stage, "fp32", offload=False)
    engine.deepspeed, engine.model = step, None if step is None else step.model
    engine.basic_optimizer = None
    assert vars(engine).keys() == _fields(), "a real one has others by now"
    return engine


def _fields() -> set[str]:
    """What a real one is given when it is made."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(Engine.__init__)))
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {
        node.attr for node in stored if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }

"""launch/finetune.py, which says whenever a run builds its model what there still is of the runs before it."""

import runpy
import sys
import weakref
from pathlib import Path

from interbert.train import prepare

ROOT = Path(__file__).parents[2]
held: list[weakref.ref] = []
build_model, make_engine = prepare.build_model, prepare.Engine


def watched_build(*arguments):
    alive = [type(found).__name__ for ref in held if (found := ref()) is not None]
    print(f"before a model of {len(held)}: {alive} alive", flush=True)
    model = build_model(*arguments)
    held.append(weakref.ref(model))
    return model


def watched_engine(*arguments):
    engine = make_engine(*arguments)
    held.extend([weakref.ref(engine), weakref.ref(engine.deepspeed), weakref.ref(engine.basic_optimizer)])
    return engine


prepare.build_model, prepare.Engine = watched_build, watched_engine
sys.argv = [str(ROOT / "launch" / "finetune.py"), *sys.argv[1:]]
runpy.run_path(sys.argv[0], run_name="__main__")

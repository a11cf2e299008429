"""Makes the embedded data that `make pretrain` learns from, as the recipe and what is set say.

python benchmarks/gpu_parts/scenes.py --set scenes.train_images=48
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from interbert.recipe import load_recipe
from interbert.sources.scenes.splits import make_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    scenes = load_recipe("scenes", parser.parse_args().overrides).scenes
    assert scenes is not None
    print(*make_scenes(scenes))


if __name__ == "__main__":
    main()

"""What every script of launch/ does around its own work."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from interbert.ranks.handover import hand_over


def obey(parse: Callable[[], argparse.Namespace], work: Callable[[argparse.Namespace], int]) -> int:
    """Exit code of the script's work, or of the launcher whose flags stood behind the script."""
    code = hand_over(sys.argv[0], sys.argv[1:])
    if code is not None:
        return code
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    return work(arguments)


def leave(main: Callable[[], int]) -> NoReturn:
    """Ends the process, where a person can mend it with one line of what was wrong."""
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")

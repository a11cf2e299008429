"""What each worker needs, imported once in the process that they are forked from."""

import interbert.curate.stages.all  # noqa: F401

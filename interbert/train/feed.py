"""From settings to what a run reads: the loader of its rank, and the fixed batches of validation."""

from interbert.config import Settings
from interbert.data.batch import Batch
from interbert.data.corpus import Corpus
from interbert.data.loader import Loader
from interbert.data.negatives import candidates_for
from interbert.data.plan import Plan, Position
from interbert.data.tokens import token_table
from interbert.tokenizer import Tokenizer
from interbert.train.distributed import Ranks
from interbert.train.validation import Validation

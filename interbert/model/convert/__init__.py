"""Other people's weights in our model and back: the released InterBERT, BERT, VisualBERT, UNITER and VOLTA's.

Nothing is ever left random silently: each transfer has a report of every key used, left over, missing or of another
shape, and anything but a clean match is an error unless the caller names what may stay as it is.
"""

from interbert.model.convert.bert import load_bert, open_bert
from interbert.model.convert.files import read_weights
from interbert.model.convert.released import (
    convert_released,
    export_released,
    load_released,
    load_released_tasks,
)
from interbert.model.convert.report import Report, WeightsError
from interbert.model.convert.uniter import convert_uniter
from interbert.model.convert.visualbert import convert_visualbert, export_visualbert
from interbert.model.convert.volta import convert_volta

__all__ = [
    "Report",
    "WeightsError",
    "convert_released",
    "convert_uniter",
    "convert_visualbert",
    "convert_volta",
    "export_released",
    "export_visualbert",
    "load_bert",
    "load_released",
    "load_released_tasks",
    "open_bert",
    "read_weights",
]

"""Which of our classes transformers' Auto classes take for a directory of ours. Imported by `interbert/auto.py`."""

from transformers import (
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForVisualQuestionAnswering,
)

from interbert.model.base import InterBertModel
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.tasks import (
    InterBertForMultipleChoice,
    InterBertForQuestionAnswering,
    InterBertForSequenceClassification,
)

AutoModel.register(InterBertConfig, InterBertModel)
AutoModelForPreTraining.register(InterBertConfig, InterBertForPreTraining)
AutoModelForVisualQuestionAnswering.register(InterBertConfig, InterBertForQuestionAnswering)
AutoModelForSequenceClassification.register(InterBertConfig, InterBertForSequenceClassification)
AutoModelForMultipleChoice.register(InterBertConfig, InterBertForMultipleChoice)

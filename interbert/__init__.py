"""interbert: pretrain and fine-tune BERT-initialised vision-and-language models on region features."""

__version__ = "0.2.0"

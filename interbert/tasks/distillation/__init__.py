"""Distillation: heads on the streams run alone learn from the whole model which images it would put first."""

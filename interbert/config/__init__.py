"""Typed settings of a run. `python -m interbert settings` prints them; recipe.py says where they come from."""

from interbert.config.closed import Closed, PathText, SettingsError
from interbert.config.data import DataSettings, MaskSettings, MismatchSettings, Words
from interbert.config.distill import DistillSettings
from interbert.config.model import ModelSettings
from interbert.config.scenes import Language, SceneSettings, Tongue, World
from interbert.config.task import Kind, SetSettings, TaskSettings
from interbert.config.train import LoraSettings, StepSettings, TrainSettings
from interbert.config.whole import Objective, Settings

__all__ = [
    "Closed",
    "DataSettings",
    "DistillSettings",
    "Kind",
    "Language",
    "LoraSettings",
    "MaskSettings",
    "MismatchSettings",
    "ModelSettings",
    "Objective",
    "PathText",
    "SceneSettings",
    "SetSettings",
    "Settings",
    "SettingsError",
    "StepSettings",
    "TaskSettings",
    "Tongue",
    "TrainSettings",
    "Words",
    "World",
]

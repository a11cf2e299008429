"""What all settings are: typed, closed (unknown keys are refused) and described in place."""

import os
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

PathText = Annotated[str, AfterValidator(os.path.expanduser)]
"""`~` is expanded here, for shells do not in `--data=~/…` or in a recipe."""


class SettingsError(ValueError):
    """Something the user wrote in a recipe, an override or a DeepSpeed config that cannot be."""


class Closed(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )

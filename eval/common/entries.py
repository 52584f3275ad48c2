"""What an entry of a suite file is made of."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """An entry of a suite file: unknown keys and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

"""What a suite says of its backend. Every field's description is its documentation."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from eval.common.entries import Strict


class BackendSettings(Strict):
    """What answers, and how. Both arms share every setting."""

    kind: str = Field(
        "hf",
        min_length=1,
        description="name of a backend (`make plugins` lists them). hf: transformers + PEFT, one load for both arms",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="number type of what is not quantised. auto: as training loaded it, else as the base's files are",
    )
    load: Literal["as-trained", "bf16", "4bit", "8bit"] = Field(
        "as-trained",
        exclude_if=lambda load: load == "as-trained",
        description="the base's weights. as-trained: quantised as the recipe trained on them, else as `dtype` says. "
        "4bit (NF4), 8bit: by bitsandbytes, on a CPU too. bf16: not quantised, whatever was trained on",
    )
    batch_size: int = Field(16, ge=1, description="samples a batch; a finished batch survives a kill")
    workers: Literal["auto"] | Annotated[int, Field(strict=True, ge=1, le=64)] = Field(
        "auto",
        exclude_if=lambda workers: workers == "auto",
        description="processes that answer, each with a whole copy of the model. auto: one a visible GPU, one on a CPU",
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        exclude_if=lambda options: not options,
        description="the backend's own settings, checked by it. Recorded and published: never a credential",
    )

    @model_validator(mode="after")
    def _one_number_type(self) -> "BackendSettings":
        if self.load == "bf16" and self.dtype not in ("auto", "bfloat16"):
            raise ValueError(f"load: bf16 and dtype: {self.dtype} contradict each other: remove one")
        return self

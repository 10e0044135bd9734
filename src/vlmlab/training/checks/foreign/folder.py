"""A foreign model: what lies in a Hugging Face folder, opened without running any code of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from vlmlab.errors import DataError


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """The model in eval mode, with what turns samples into its inputs."""

    where: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    processor: ProcessorMixin | None
    """None for a model of text alone."""
    placeholder: int | None
    """The id that marks the place of a visual token."""

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""
        table = self.model.get_input_embeddings().weight
        assert isinstance(table, Tensor)
        return table.shape[0]

    @property
    def template(self) -> str | None:
        """The chat template: the processor's, else the tokenizer's."""
        for owner in (self.processor, self.tokenizer):
            if owner is not None and isinstance(owner.chat_template, str):
                return owner.chat_template
        return None

    def inputs(self, values: dict[str, Any]) -> dict[str, Any]:
        """Inputs on the model's device."""
        return {
            name: value.to(self.model.device) if isinstance(value, Tensor) else value for name, value in values.items()
        }


def open_folder(folder: Path, *, device: str) -> ForeignModel:
    """Open config, weights, tokenizer and, for a model that sees, its processor. Nothing is fetched, and no code of the
    folder runs. DataError where something is missing or unknown."""
    where = str(folder)
    if not (folder / "config.json").is_file():
        raise DataError(where, "no config.json here; expected a folder of a Hugging Face model")
    try:
        configuration = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        sees = type(configuration) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        loader = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model = loader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        processor = _processor(folder) if sees else None
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise DataError(
            where,
            f"cannot be opened: {error}. Expected weights, a tokenizer and, for a model that sees, a processor; code "
            "inside the folder is never run",
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise DataError(where, "no tokenizer here; save the model's own beside it")
    plain = configuration.to_dict()
    placeholder = plain.get("image_token_id", plain.get("image_token_index"))
    return ForeignModel(where, model.eval().to(device), tokenizer, processor, placeholder)


def _processor(folder: Path) -> ProcessorMixin | None:
    # Without torchvision only the Pillow backend exists; with it the two differ by a grey level.
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False, backend="pil")
    return processor if isinstance(processor, ProcessorMixin) else None

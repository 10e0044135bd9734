"""Tiny Hugging Face folders with fresh weights: a Llava, and a Llama without eyes."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<s>", "</s>", "<image>"]
TEXT = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% if message['role'] == 'assistant' %}</s>{% endif %}|{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
FLAT = (
    "{% for message in messages %}{{ message['role'] }}:{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] }}</s>{% endgeneration %}{% else %}{{ message['content'] }}{% endif %}|{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def tokenizer(*, template: str | None, pad: str = "<pad>") -> PreTrainedTokenizerFast:
    """A byte-level BPE of 290 tokens or so."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # fmt: skip
    inner.train_from_iterator(["what is this a red cat user assistant"] * 3, trainer=trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=pad, bos_token="<s>", eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    fast.chat_template = template
    return fast


def llava_folder(
    folder: Path, *, template: str | None = TEMPLATE, patch: int = 8, pad: str = "<pad>"
) -> LlavaForConditionalGeneration:
    """A model whose 16-pixel images are 4 visual tokens; its processor counts patches of `patch` pixels."""
    text = tokenizer(template=template, pad=pad)
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config={
                "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
                "num_attention_heads": 2, "image_size": 16, "patch_size": 8, "projection_dim": 16,
            },
            text_config={**TEXT, "vocab_size": len(text)}, image_token_index=3, vision_feature_layer=-1,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        tokenizer=text, patch_size=patch, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1, chat_template=template,
    )  # fmt: skip
    processor.save_pretrained(folder)
    return model


def llama_folder(folder: Path, *, template: str | None = FLAT, pad: str = "<pad>") -> LlamaForCausalLM:
    """A model of text alone."""
    text = tokenizer(template=template, pad=pad)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**TEXT, "vocab_size": len(text)}))
    model.save_pretrained(folder)
    text.save_pretrained(folder)
    return model

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, LlamaForCausalLM

from tests.models.tiny import VOCABULARY, model_spec, text_batch, tiny_model
from vlmlab.errors import BatchError, RecipeError
from vlmlab.models.build import BuildOptions, build_model
from vlmlab.models.language.build import _construct
from vlmlab.models.language.causal import CausalLanguageModel, CausalModel

KINDS = ["llama", "mistral", "qwen2", "qwen3", "smollm3"]


def language_model(kind: str = "llama", **changes: object) -> CausalLanguageModel:
    return tiny_model(language={"kind": kind, "depth": 4} | changes).language


def theirs(ours: CausalLanguageModel) -> CausalModel:
    """The same weights in stock transformers."""
    stock = _construct(copy.deepcopy(ours.causal.config))
    stock.load_state_dict(ours.causal.state_dict())
    stock.set_attn_implementation("eager")
    return stock.eval()


def some_ids(rows: int = 2, length: int = 11) -> torch.Tensor:
    return torch.randint(6, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(3))


def logits(model: CausalLanguageModel, ids: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
    batch = text_batch(ids, **kwargs)
    return model.head(model.run(model.embed_tokens(ids), positions=batch.positions, segments=batch.segments))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_transformers(kind: str, tied: bool):
    ours = language_model(kind, tied=tied)
    expected = theirs(ours)(some_ids(), use_cache=False).logits
    torch.testing.assert_close(logits(ours, some_ids()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_left_padded_logits_equal_transformers(kind: str):
    ours = language_model(kind)
    ids, segments = some_ids(), torch.ones(2, 11, dtype=torch.int64)
    segments[1, :4] = 0
    positions = (segments.cumsum(1) - 1).clamp(min=0)
    expected = theirs(ours)(ids, attention_mask=segments, position_ids=positions, use_cache=False).logits
    found = logits(ours, ids, segments=segments, positions=positions)
    torch.testing.assert_close(found[segments != 0], expected[segments != 0], atol=1e-5, rtol=1e-5)
    alone = logits(ours, ids[1:, 4:])
    torch.testing.assert_close(found[1:, 4:], alone, atol=1e-5, rtol=1e-5)


def test_rope_scaling_reaches_the_rotary_tables():
    scaling = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }  # fmt: skip
    plain, scaled = language_model(), language_model(rope_scaling=scaling)
    torch.testing.assert_close(logits(scaled, some_ids()), theirs(scaled)(some_ids()).logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain.causal.model.rotary_emb.inv_freq, scaled.causal.model.rotary_emb.inv_freq)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_decoding_equals_full_recomputation(kind: str):
    ours = language_model(kind)
    ids, segments = some_ids(), torch.ones(2, 11, dtype=torch.int64)
    segments[1, :3] = 0
    positions = (segments.cumsum(1) - 1).clamp(min=0)
    embeddings = ours.embed_tokens(ids)
    whole = ours.run(embeddings, positions=positions, segments=segments)
    cache, parts = DynamicCache(), []
    for start, stop in [(0, 6), (6, 7), (7, 9), (9, 11)]:
        part = embeddings[:, start:stop]
        parts.append(ours.run(part, positions=positions[:, start:stop], segments=segments[:, :stop], cache=cache))
    real = segments != 0
    torch.testing.assert_close(torch.cat(parts, dim=1)[real], whole[real], atol=1e-5, rtol=1e-5)


def test_rows_longer_than_the_model_was_made_for_are_refused():
    with pytest.raises(BatchError, match="max_positions is 128"):
        logits(language_model(), some_ids(1, 129))


def published(tmp_path: Path, **changes: object) -> CausalLanguageModel:
    """A published table of 61 rows, loaded under a tokenizer of 64 tokens."""
    source = build_model(model_spec(language=dict(changes)), vocabulary=61, seed=9, precision="float32").language
    source.causal.save_pretrained(tmp_path)
    return source


def loaded(tmp_path: Path, **changes: object) -> CausalLanguageModel:
    language = {"weights": {"kind": "folder", "path": str(tmp_path)}, "vocabulary": 61} | changes
    spec = model_spec(language=language)
    return build_model(spec, vocabulary=VOCABULARY, seed=0, precision="float32", options=BuildOptions()).language


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_loading_equals_the_source_and_new_rows_are_the_mean(kind: str, tied: bool, tmp_path: Path):
    source = published(tmp_path, kind=kind, tied=tied)
    found = loaded(tmp_path, kind=kind, tied=tied)
    ids = some_ids() % 61
    torch.testing.assert_close(logits(found, ids)[..., :61], logits(source, ids), atol=1e-6, rtol=1e-6)
    tables = [found.causal.model.embed_tokens.weight, found.head_weight]
    assert (tables[0] is tables[1]) == tied
    for table, old in zip(tables, [source.causal.model.embed_tokens.weight, source.head_weight], strict=True):
        assert table.shape[0] == VOCABULARY
        torch.testing.assert_close(table[61:], old.mean(dim=0).expand(3, -1))


def test_other_numbers_are_named(tmp_path: Path):
    published(tmp_path)
    with pytest.raises(RecipeError, match=r"mlp is 48 there, 96 in the recipe; .*rope_theta is 10000.0 there, 5000.0"):
        loaded(tmp_path, mlp=96, rope_theta=5000.0)
    with pytest.raises(RecipeError, match=r"is of type 'llama', but model.language.kind is 'mistral'"):
        loaded(tmp_path, kind="mistral")
    with pytest.raises(RecipeError, match="vocabulary is 61 there, 60 in the recipe"):
        loaded(tmp_path, vocabulary=60)


def test_a_tokenizer_smaller_than_the_published_table_is_refused(tmp_path: Path):
    build_model(model_spec(), vocabulary=99, seed=0, precision="float32").language.causal.save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match="99 embedding rows, but the tokenizer has only 64"):
        loaded(tmp_path, vocabulary=None)


def test_numbers_that_transformers_refuses_are_the_recipes_mistake():
    with pytest.raises(RecipeError, match="transformers refuses"):
        language_model("llama", width=30, heads=4, head_width=8)


def test_the_causal_model_is_stock_transformers():
    assert type(language_model().causal) is LlamaForCausalLM

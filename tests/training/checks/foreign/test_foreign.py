"""Foreign folders and data: what passes, and one broken thing at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.training.checks.foreign.folders import FLAT, llama_folder, llava_folder
from vlmlab.errors import DataError, RecipeError
from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.foreign.check import check_foreign
from vlmlab.training.checks.foreign.samples import read_samples

SHOWN = {
    "messages": [
        {"role": "user", "content": "<image>what is this"},
        {"role": "assistant", "content": "a red cat"},
    ],
    "images": ["red.png"],
}
PLAIN = {"messages": [{"role": "user", "content": "what is this"}, {"role": "assistant", "content": "a red cat"}]}


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava")
    llava_folder(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    llama_folder(folder)
    return folder


def data(folder: Path, *samples: dict[str, Any]) -> str:
    Image.new("RGB", (20, 16), (200, 30, 30)).save(folder / "red.png")
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
    return str(path)


def found(folder: Path, path: str, *, packed: str | None = None) -> dict[str, CheckRecord]:
    report = check_foreign(folder, data=path, packed=packed, device="cpu")
    checks = {check.name: check for check in report.sections[0].checks}
    assert report.passed == all(check.outcome != "failed" for check in checks.values())
    return checks


def failed(checks: dict[str, CheckRecord]) -> set[str]:
    return {name for name, check in checks.items() if check.outcome == "failed"}


def test_a_sound_llava_passes(llava: Path, tmp_path: Path) -> None:
    checks = found(llava, data(tmp_path, SHOWN, SHOWN))
    assert not failed(checks), checks
    assert checks["image tokens"].words == "8 in 2 samples, as many as the model makes features"
    assert "no {% generation %} block" in checks["chat template"].words
    assert "BatchEncoding with 2 entries" in checks["chat template"].words
    assert checks["text-only batches"].outcome == "note"
    assert "model.multi_modal_projector, model.vision_tower" in checks["text-only batches"].words


def test_how_packed_samples_see_each_other(llava: Path, llama: Path, tmp_path: Path) -> None:
    path = data(tmp_path, PLAIN, PLAIN)
    for folder in (llava, llama):
        outcomes = {name: check.outcome for name, check in found(folder, path).items() if name.startswith("packing")}
        assert outcomes == {
            "packing: positions": "ok",
            "packing: cache": "note",
            "packing: ones": "note",
            "packing: blocks": "ok",
        }
    assert "packing: ones" in failed(found(llama, path, packed="ones"))
    assert "packing: positions" not in failed(found(llama, path, packed="positions"))
    with pytest.raises(RecipeError, match="did you mean 'ones'"):
        found(llama, path, packed="one")


def test_text_and_images_mixed_are_refused(llava: Path, tmp_path: Path) -> None:
    checks = found(llava, data(tmp_path, SHOWN, PLAIN))
    assert failed(checks) == {"text-only batches"}
    assert "all processes hang" in checks["text-only batches"].words


def test_samples_without_an_answer_are_refused_by_name(llama: Path, tmp_path: Path) -> None:
    checks = found(llama, data(tmp_path, PLAIN, {"messages": PLAIN["messages"][:1]}))
    assert failed(checks) == {"supervised tokens"}
    assert "1 of 2 samples have no token to learn: data.jsonl#1" in checks["supervised tokens"].words


def test_answers_are_what_is_learned(llama: Path, tmp_path: Path) -> None:
    checks = found(llama, data(tmp_path, PLAIN))
    assert not failed(checks), checks
    assert checks["chat template"].words.startswith("apply_chat_template(tokenize=True) returns")
    assert checks["turn boundaries"].outcome == "ok"
    assert found(llama, data(tmp_path, {"text": "what is this"}))["chat template"].outcome == "not applicable"


def test_a_prompt_that_ends_in_other_tokens_is_noted(tmp_path: Path) -> None:
    # "assistant: " and " a" meet: the space belongs to the answer's first token.
    llama_folder(tmp_path, template=FLAT.replace("assistant:{% endif %}", "assistant: {% endif %}"))
    sample = {"messages": [PLAIN["messages"][0], {"role": "assistant", "content": " a red cat"}]}
    check = found(tmp_path, data(tmp_path, sample))["turn boundaries"]
    assert check.outcome == "note"
    assert "off by up to 1 tokens" in check.words


def test_a_template_that_rewrites_what_was_said_is_refused(tmp_path: Path) -> None:
    llama_folder(tmp_path, template="{{ messages | length }} turns. " + FLAT)
    checks = found(tmp_path, data(tmp_path, PLAIN))
    assert "turn boundaries" in failed(checks)
    assert "supervised tokens" in failed(checks)


def test_messages_without_a_template_are_refused(tmp_path: Path) -> None:
    llama_folder(tmp_path, template=None)
    assert failed(found(tmp_path, data(tmp_path, PLAIN))) == {"chat template"}


def test_a_begin_token_that_is_written_twice(tmp_path: Path) -> None:
    llama_folder(tmp_path, template="{{ bos_token }}{{ bos_token }}" + FLAT)
    assert "begin token" in failed(found(tmp_path, data(tmp_path, PLAIN)))


def test_padding_that_is_the_end_token_is_noted(tmp_path: Path) -> None:
    llama_folder(tmp_path, pad="</s>")
    check = found(tmp_path, data(tmp_path, PLAIN))["padding"]
    assert check.outcome == "note"
    assert "lose 1 learned tokens, and the model never learns to stop" in check.words
    llama_folder(tmp_path, pad="a")
    assert "padding" in failed(found(tmp_path, data(tmp_path, PLAIN)))


def test_another_number_of_image_tokens_is_refused(tmp_path: Path) -> None:
    llava_folder(tmp_path, patch=4)
    checks = found(tmp_path, data(tmp_path, SHOWN))
    assert "image tokens" in failed(checks)
    assert "has 16 image tokens (3) but its 1 images give 4 features" in checks["image tokens"].words
    assert "gradients" not in checks


def test_a_text_that_spells_the_image_token_is_refused(llava: Path, tmp_path: Path) -> None:
    spelt = {"text": "what is <image> this"}
    checks = found(llava, data(tmp_path, spelt))
    assert "a text that spells it is read as an image" in checks["image tokens"].words


def test_weights_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    model = llama_folder(tmp_path)
    with torch.no_grad():
        model.lm_head.weight.mul_(300.0)
    model.save_pretrained(tmp_path)
    assert "first loss" in failed(found(tmp_path, data(tmp_path, PLAIN)))


def test_a_connector_that_multiplies_by_zero_is_refused(tmp_path: Path) -> None:
    model = llava_folder(tmp_path)
    with torch.no_grad():
        model.model.multi_modal_projector.linear_2.weight.zero_()
    model.save_pretrained(tmp_path)
    checks = found(tmp_path, data(tmp_path, SHOWN))
    assert "none reaches any tensor of model.vision_tower" in checks["gradients"].words


def test_images_for_a_model_of_text_are_refused(llama: Path, tmp_path: Path) -> None:
    checks = found(llama, data(tmp_path, SHOWN, PLAIN))
    assert "the model reads text alone" in checks["samples"].words


def test_data_in_other_forms(tmp_path: Path) -> None:
    inline = [{"type": "image", "path": "red.png"}, {"type": "text", "text": "what"}]
    path = data(
        tmp_path,
        {"messages": [{"role": "user", "content": inline}, PLAIN["messages"][1]]},
        {"image": "red.png", "conversations": [{"from": "human", "value": "what"}, {"from": "gpt", "value": "a cat"}]},
        {"image": "red.png", "text": "a red cat"},
    )
    for sample in read_samples(path, most=9):
        assert sample.messages is not None
        assert sample.messages[0]["role"] == "user"
        assert sample.messages[0]["content"][0] == {"type": "image"}
        assert sample.messages[1]["role"] == "assistant"
        assert [picture.path.name for picture in sample.pictures] == ["red.png"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "data.jsonl#0: broken JSON"),
        ("[]", "data.jsonl#0: found list"),
        ('{"txt": "a"}', "fields txt; expected"),
        ('{"messages": [{"role": "user", "content": "<image>"}]}', "1 images stand in the messages, but 0 are named"),
        ('{"messages": [{"role": "user"}]}', "turn 0 has no role or no content"),
        ("", "has no samples"),
    ],
)
def test_data_that_is_none_is_refused(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "data.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=words.replace("[", r"\[")):
        read_samples(str(tmp_path / "data.jsonl"), most=9)


def test_folders_that_hold_no_model_are_refused(llama: Path, tmp_path: Path) -> None:
    path = data(tmp_path, PLAIN)
    with pytest.raises(DataError, match=r"no config\.json here"):
        found(tmp_path, path)
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}), encoding="utf-8"
    )
    (tmp_path / "own.py").write_text("raise SystemExit('ran foreign code')", encoding="utf-8")
    with pytest.raises(DataError, match="code inside the folder is never run"):
        found(tmp_path, path)

"""No text becomes a control token or an image: our BPE, and published tokenizers that make it easy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.data.rows_for_tests import picture, recipe
from tests.data.rows_for_tests import tokenizer as trained
from vlmlab.data.document import Document, Image, Text
from vlmlab.data.encode import Encoder
from vlmlab.data.rows import DialogueRow, as_document
from vlmlab.data.tokenizer import Tokenizer, read_pretrained
from vlmlab.errors import DataError
from vlmlab.recipe.tokenizer import PretrainedTokenizer, Template

LITERALS = (
    *("<image>", "<image_start>", "<image_end>", "<pad>", "<bos>", "<eos>"),
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>"),
)
TRAINED = trained()


def published(folder: Path, *, marked: bool) -> Tokenizer:
    """A byte-level tokenizer as transformers saves it. Unmarked: chat tokens are named in its settings alone."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(["the cat sat on the mat"], trainer=trainer)
    inner.add_tokens(
        [tokenizers.AddedToken(name, special=marked) for name in ("<|im_start|>", "<|im_end|>", "<image>")]
    )
    own = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    own.save_pretrained(folder)
    if not marked:
        # transformers marks what it is told of; older files name their tokens without marking them.
        text = inner.to_str()
        assert '"special":false' in text.replace(" ", "")
        (folder / "tokenizer.json").write_text(text)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        settings["additional_special_tokens"] = ["<|im_start|>", {"content": "<|im_end|>"}]
        settings.pop("extra_special_tokens", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return read_pretrained(PretrainedTokenizer(kind="pretrained", name=str(folder)), vocabulary=400)


@pytest.fixture(params=["trained", "marked", "unmarked"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return TRAINED if request.param == "trained" else published(tmp_path, marked=request.param == "marked")


@pytest.mark.parametrize("literal", LITERALS)
def test_literals_are_characters(own: Tokenizer, literal: str) -> None:
    for text in (literal, f"a {literal} cat", literal * 3, f"x{literal}y"):
        ids = own.encode(text)
        assert not own.control_tokens(ids)
        assert not {own.pad, own.bos, own.eos, own.image, own.image_start, own.image_end} & set(ids)
        assert len(ids) > text.count(literal), "a literal is more than one token"
        assert own.decode(ids) == text


def test_a_saved_tokenizer_still_reads_literals_as_characters(own: Tokenizer, tmp_path: Path) -> None:
    own.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    assert again.fingerprint() == own.fingerprint()
    for literal in LITERALS:
        assert again.encode(literal) == own.encode(literal)


def test_added_words_of_a_publisher_stay_words(tmp_path: Path) -> None:
    published(tmp_path, marked=True)
    inner = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    inner.add_tokens(["zebra"])
    inner.save(str(tmp_path / "tokenizer.json"))
    own = read_pretrained(PretrainedTokenizer(kind="pretrained", name=str(tmp_path)), vocabulary=400)
    assert own.encode("zebra") == [inner.token_to_id("zebra")]


def unigram(folder: Path) -> Tokenizer:
    """Like T5's: the end token is a piece of the vocabulary, and the likeliest reading of its own name."""
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((character, -2.0) for character in "abc </s>")]
    inner = tokenizers.Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=0))
    inner.add_special_tokens(["<unk>", "</s>"])
    inner.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "unk_token": "<unk>"}))
    return read_pretrained(PretrainedTokenizer(kind="pretrained", name=str(folder)), vocabulary=20)


def test_what_cannot_be_written_as_characters_is_refused_by_key(tmp_path: Path) -> None:
    own = unigram(tmp_path)
    encoder = Encoder(own, recipe().model, recipe().model.image)
    encoder.encode(Document("good", (Text("a b\u2020c"),)))
    with pytest.raises(DataError, match=r"the text spells </s>.*cannot write as ordinary") as caught:
        encoder.encode(Document("pairs/0.tar#3", (Text("a</s>b"),)))
    assert caught.value.where == "pairs/0.tar#3"


def test_marks_and_images_must_be_as_many() -> None:
    row = DialogueRow("d#1", (picture("p"),), (("<image> and <image>?", "two"),))
    with pytest.raises(DataError, match=r"2 <image> marks but the row has 1 images"):
        as_document(row, Template())
    with pytest.raises(DataError, match=r"1 <image> marks but the row has 0 images"):
        as_document(DialogueRow("d#2", (), (("what is <image>?", "a mark"),)), Template())
    answer = as_document(DialogueRow("d#3", (picture("p"),), (("what?", "an <image>"),)), Template())
    example = Encoder(TRAINED, recipe().model, recipe().model.image).encode(answer)
    assert len(example.images) == 1
    assert sum(token == TRAINED.image for token in example.ids) == example.images[0].length


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pieces=some.lists(some.one_of(some.sampled_from(LITERALS), some.text(max_size=8)), max_size=6))
def test_any_text_comes_back_without_control_tokens(pieces: list[str]) -> None:
    text = "".join(pieces)
    ids = TRAINED.encode(text)
    assert not TRAINED.control_tokens(ids)
    assert TRAINED.decode(ids) == text


@settings(max_examples=100, deadline=None, derandomize=True)
@given(pieces=some.lists(some.one_of(some.sampled_from(LITERALS), some.text(max_size=8)), max_size=4))
def test_a_literal_never_becomes_an_image(pieces: list[str]) -> None:
    parts = [part for text in pieces for part in (Text(text), Image(picture("p")))]
    example = Encoder(TRAINED, recipe().model, recipe().model.image).encode(Document("d", tuple(parts)))
    spans = {place for image in example.images for place in range(image.start, image.start + image.length)}
    assert {place for place, token in enumerate(example.ids) if token == TRAINED.image} == spans

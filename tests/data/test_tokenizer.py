from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.data.rows_for_tests import MadeSource, recipe, sources, tokenizer
from vlmlab.data.tokenizer import NAMES, Tokenizer, build_tokenizer, read_pretrained
from vlmlab.errors import DataError
from vlmlab.recipe.tokenizer import PretrainedTokenizer

TOKENIZER = tokenizer()
TEXT = " question: how many circles are left of 1024 squares?\n naïve 漢字 🙂"


def test_special_tokens_come_first() -> None:
    own = TOKENIZER
    assert [own.pad, own.bos, own.eos, own.image, own.image_start, own.image_end] == [0, 1, 2, 3, 4, 5]
    assert [own.token_text(number) for number in range(6)] == list(NAMES)
    assert own.size == 400


def test_text_comes_back_and_digits_stand_alone() -> None:
    ids = TOKENIZER.encode(TEXT)
    assert TOKENIZER.decode(ids) == TEXT
    assert TOKENIZER.encode_many([TEXT, "x"]) == [ids, TOKENIZER.encode("x")]
    assert {TOKENIZER.token_text(number) for number in TOKENIZER.encode("1024")} == set("1024")


@pytest.mark.parametrize("name", [*NAMES, "a <image> of <eos>", "<image><image>"])
def test_no_text_spells_a_special_token(name: str, tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    for own in (TOKENIZER, Tokenizer.load(tmp_path), pickle.loads(pickle.dumps(TOKENIZER))):
        ids = own.encode(name)
        assert min(ids) > 5
        assert own.decode(ids) == name
        assert own.encode_many([name]) == [ids]


def test_special_ids_have_no_text() -> None:
    assert TOKENIZER.decode([1, *TOKENIZER.encode("a b"), 3, 3, 2, 0]) == "a b"


def test_training_is_a_function_of_the_recipe(tmp_path: Path) -> None:
    assert tokenizer().fingerprint() == TOKENIZER.fingerprint()
    assert build_tokenizer(recipe(seed=5), sources()).fingerprint() == TOKENIZER.fingerprint()
    assert tokenizer(vocabulary=380).fingerprint() != TOKENIZER.fingerprint()
    TOKENIZER.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.fingerprint() == TOKENIZER.fingerprint()
    assert (loaded.size, loaded.eos) == (TOKENIZER.size, TOKENIZER.eos)


def test_little_text_gives_fewer_tokens_but_the_same_table() -> None:
    own = build_tokenizer(recipe(tokenizer={"kind": "bpe", "vocabulary": 20_000, "documents": 5}), sources())
    assert own.size == 20_000
    assert own.token_text(19_999) == "<unused 19999>"


def test_bad_samples_are_passed_over_but_no_text_is_refused() -> None:
    assert build_tokenizer(recipe(), {"text": MadeSource("text", "text", broken=2)}).size == 400
    with pytest.raises(DataError, match=r"no source has any text [\s\S]*The first sample: text#0: broken on purpose"):
        build_tokenizer(recipe(), {"text": MadeSource("text", "text", broken=1)})
    with pytest.raises(DataError, match="no source to train"):
        build_tokenizer(recipe(), {})


def published(folder: Path, **settings: object) -> PretrainedTokenizer:
    """A folder like those of the hub, made of our BPE: it has a <bos> and an <eos>, and knows nothing of images."""
    TOKENIZER.save(folder)
    (folder / "special_tokens.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return PretrainedTokenizer(kind="pretrained", name=str(folder))


def test_published_tokenizer(tmp_path: Path) -> None:
    own = read_pretrained(
        published(tmp_path, bos_token={"content": "<bos>"}, eos_token="<eos>", pad_token=None), vocabulary=500
    )
    assert (own.bos, own.eos, own.pad) == (1, 2, 2)
    assert (own.image, own.image_start, own.image_end, own.size) == (500, 501, 502, 503)
    assert own.encode(TEXT) == TOKENIZER.encode(TEXT)
    assert min(own.encode("<eos><image>")) > 5
    assert own.token_text(500) == "<image>"
    assert own.decode([own.bos, *own.encode("a"), own.image]) == "a"
    own.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").fingerprint() == own.fingerprint()


def test_published_tokenizer_without_begin_token(tmp_path: Path) -> None:
    own = read_pretrained(published(tmp_path, eos_token="<eos>"), vocabulary=400)
    assert own.bos == own.eos == own.pad == 2


def test_bad_published_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.language\.vocabulary is 100"):
        read_pretrained(published(tmp_path, eos_token="<eos>"), vocabulary=100)
    with pytest.raises(DataError, match="eos token is not named"):
        read_pretrained(published(tmp_path), vocabulary=400)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        read_pretrained(PretrainedTokenizer(kind="pretrained", name=str(tmp_path)), vocabulary=400)
    with pytest.raises(DataError, match=r"special_tokens\.json|tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(DataError, match="the hub cannot be reached") as caught:
        read_pretrained(PretrainedTokenizer(kind="pretrained", name="owner/name", revision="abc"), vocabulary=400)
    assert caught.value.where == "tokenizer.name"
    assert "revision abc" in str(caught.value)

"""Tokenizer: text to ids. Six tokens have a meaning of their own, and no text can ever spell one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from vlmlab.data.document import Text
from vlmlab.data.rows import as_document
from vlmlab.data.sources.contract import OpenSource
from vlmlab.errors import DataError
from vlmlab.files import digest, read_json, write_json, write_text
from vlmlab.random_streams import stream
from vlmlab.recipe.recipe import NUM_ADDED_TOKENS, Recipe
from vlmlab.recipe.tokenizer import PretrainedTokenizer, Template, TrainedBPE

NAMES = ("<pad>", "<bos>", "<eos>", "<image>", "<image_start>", "<image_end>")
"""The special tokens, in the order of their ids in a tokenizer that we train."""

_TOKENIZER_FILE = "tokenizer.json"
_SPECIAL_FILE = "special_tokens.json"


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids of the special tokens. A published tokenizer without a begin or padding token uses its end token for them."""

    pad: int
    bos: int
    eos: int
    image: int
    image_start: int
    image_end: int


class Tokenizer:
    """Ordinary text to ids and back.

    `size` is the number of rows of the embedding table whose ids may occur. The three image tokens of a published
    tokenizer are no part of it: they are ids that only the encoder writes.
    """

    def __init__(self, inner: tokenizers.Tokenizer, *, special: SpecialIds, size: int) -> None:
        self._inner = inner
        # A literal "<image>" or "<|endoftext|>" in a text is characters, never the token.
        self._inner.encode_special_tokens = True
        self._inner.no_truncation()
        self._inner.no_padding()
        self._special = special
        self.size = size
        self.pad = special.pad
        self.bos = special.bos
        self.eos = special.eos
        self.image = special.image
        self.image_start = special.image_start
        self.image_end = special.image_end
        self._names = {special.image: NAMES[3], special.image_start: NAMES[4], special.image_end: NAMES[5]}
        assert len(self._names) == NUM_ADDED_TOKENS
        self._control = _control_ids(inner) | {special.pad, special.bos, special.eos}

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text, without begin or end token."""
        return self._inner.encode(text, add_special_tokens=False).ids

    def control_tokens(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The control tokens among the ids of a text; there should be none.

        A few published models (Unigram ones, such as T5's) hold `</s>` as a piece like any other, and would let a text
        end its document.
        """
        if self._control.isdisjoint(ids):
            return ()
        return tuple(self.token_text(number) for number in dict.fromkeys(ids) if number in self._control)

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text."""
        return [encoding.ids for encoding in self._inner.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens have none."""
        return self._inner.decode([number for number in ids if number not in self._names], skip_special_tokens=True)

    def token_text(self, token: int) -> str:
        """A token for people to read: its text, a special token's name, or stray bytes as tokenizers write them."""
        if token in self._names:
            return self._names[token]
        name = self._inner.id_to_token(token)
        if name is None:
            return f"<unused {token}>"
        text = self._inner.decode([token], skip_special_tokens=True)
        return text if text and "\ufffd" not in text else name

    def fingerprint(self) -> str:
        """A hash of everything that `encode` depends on, and of the special ids."""
        return digest([self._inner.to_str(), self._plain()])

    def _plain(self) -> dict[str, int]:
        special = self._special
        values = (special.pad, special.bos, special.eos, special.image, special.image_start, special.image_end)
        return {**dict(zip(NAMES, values, strict=True)), "size": self.size}

    def save(self, folder: Path) -> None:
        """Write tokenizer.json (any Hugging Face fast tokenizer reads it) and special_tokens.json."""
        write_text(folder / _TOKENIZER_FILE, self._inner.to_str(pretty=True))
        write_json(folder / _SPECIAL_FILE, self._plain())

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read what `save` wrote."""
        for name in (_TOKENIZER_FILE, _SPECIAL_FILE):
            if not (folder / name).is_file():
                raise DataError(str(folder), f"no {name} here; expected a folder that Tokenizer.save wrote")
        return _restore((folder / _TOKENIZER_FILE).read_text(encoding="utf-8"), read_json(folder / _SPECIAL_FILE))

    def __reduce__(self) -> tuple[object, ...]:
        # The inner tokenizer forgets `encode_special_tokens` when it is pickled.
        return _restore, (self._inner.to_str(), self._plain())


def _control_ids(inner: tokenizers.Tokenizer) -> frozenset[int]:
    """Ids of the special tokens but the one for unknown characters, which a text may well hold."""
    match inner.model:
        case models.Unigram():
            unknown = json.loads(inner.to_str())["model"]["unk_id"]
        case models.BPE() | models.WordPiece() | models.WordLevel() as model:
            unknown = None if model.unk_token is None else inner.token_to_id(model.unk_token)
        case other:
            raise AssertionError(f"tokenizers has no model of type {type(other).__name__} that we know of")
    added = inner.get_added_tokens_decoder().items()
    return frozenset(number for number, token in added if token.special and number != unknown)


def _restore(text: str, plain: Mapping[str, int]) -> Tokenizer:
    return Tokenizer(
        tokenizers.Tokenizer.from_str(text), special=SpecialIds(*(plain[name] for name in NAMES)), size=plain["size"]
    )


def build_tokenizer(recipe: Recipe, sources: Mapping[str, OpenSource]) -> Tokenizer:
    """The recipe's tokenizer: trained on `sources`, or read from a folder or the hub (then `sources` are not read)."""
    match recipe.tokenizer:
        case TrainedBPE():
            return train_bpe(recipe.tokenizer, template=recipe.template, sources=sources)
        case PretrainedTokenizer():
            vocabulary = recipe.model.language.vocabulary
            assert vocabulary is not None, "the recipe checks this"
            return read_pretrained(recipe.tokenizer, vocabulary=vocabulary)


def train_bpe(spec: TrainedBPE, *, template: Template, sources: Mapping[str, OpenSource]) -> Tokenizer:
    """A byte-level BPE with single digits, trained on documents drawn evenly from the sources.

    The draw does not depend on the recipe's seed: replicates share their tokenizer, so that likelihoods compare.
    With little text there may be fewer tokens than `spec.vocabulary`; the rest of the table is then unused.
    """
    if not sources:
        raise DataError(
            "data.sources", "there is no source to train the tokenizer on; name one, or a published tokenizer"
        )
    texts = list(training_texts(spec, template=template, sources=sources))
    if not texts:
        raise DataError(
            "data.sources",
            "no source has any text to train the tokenizer on; expected at least one readable document"
            + _first_refusal(sources, template=template),
        )
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary,
        special_tokens=list(NAMES),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer=trainer, length=len(texts))
    return Tokenizer(inner, special=SpecialIds(0, 1, 2, 3, 4, 5), size=spec.vocabulary)


def _first_refusal(sources: Mapping[str, OpenSource], *, template: Template) -> str:
    """Why the first sample of a source cannot be read, for an error's end."""
    for source in sources.values():
        try:
            as_document(source.row(0), template)
        except DataError as error:
            return f". The first sample: {error}"
    return ""


def training_texts(spec: TrainedBPE, *, template: Template, sources: Mapping[str, OpenSource]) -> Iterator[str]:
    """The texts of up to spec.documents documents, learned or given, an equal share from each source (or all of it)."""
    share = -(-spec.documents // len(sources))
    for name, source in sources.items():
        size = len(source)
        count = min(share, size)
        chosen = stream(0, "tokenizer", name).choice(size, size=count, replace=False) if count < size else range(size)
        for index in chosen:
            try:
                document = as_document(source.row(int(index)), template)
            except DataError:
                # Bad samples are counted where they are trained on; here they only have nothing to say.
                continue
            yield from (part.text for part in document.parts if isinstance(part, Text))


def read_pretrained(spec: PretrainedTokenizer, *, vocabulary: int) -> Tokenizer:
    """A published tokenizer. Our three tokens take the ids after all of the model's `vocabulary` rows."""
    files = _local_files(spec) if Path(spec.name).is_dir() else _hub_files(spec)
    where = f"tokenizer {spec.name}"
    settings = [
        json.loads(files[file].read_text(encoding="utf-8"))
        for file in ("special_tokens_map.json", "tokenizer_config.json")
        if file in files
    ]
    inner = _with_specials(files[_TOKENIZER_FILE].read_text(encoding="utf-8"), settings=settings)
    if inner.get_vocab_size() > vocabulary:
        raise DataError(
            where,
            f"it has {inner.get_vocab_size()} tokens, but model.language.vocabulary is {vocabulary}; take its own",
        )
    names: dict[str, str] = {}
    for values in settings:
        names |= {kind: name for kind in ("bos", "eos", "pad") if (name := _token_name(values.get(f"{kind}_token")))}

    def token(kind: str, fallback: int | None) -> int:
        number = inner.token_to_id(names[kind]) if kind in names else fallback
        if number is None:
            raise DataError(
                where,
                f"its {kind} token is {names.get(kind, 'not named')}; tokenizer_config.json must name one",
            )
        return number

    eos = token("eos", None)
    special = SpecialIds(token("pad", eos), token("bos", eos), eos, vocabulary, vocabulary + 1, vocabulary + 2)
    return Tokenizer(inner, special=special, size=vocabulary + NUM_ADDED_TOKENS)


def _with_specials(text: str, *, settings: Sequence[Mapping[str, object]]) -> tokenizers.Tokenizer:
    """The inner tokenizer of a tokenizer.json, with every token marked special that its folder uses as one.

    Some published files name `<image>` or `<|im_end|>` in their settings but do not mark it where texts are read;
    an ordinary text could then spell it. Added tokens that nothing names are ordinary words of their publisher.
    """
    named = set(NAMES)
    for values in settings:
        listed = [value for key, value in values.items() if key.endswith("_token")]
        for key in ("additional_special_tokens", "extra_special_tokens"):
            extra = values.get(key)
            listed += extra if isinstance(extra, list) else extra.values() if isinstance(extra, dict) else ()
        named |= {name for value in listed if (name := _token_name(value)) is not None}
    tree = json.loads(text)
    unmarked = [token for token in tree.get("added_tokens", ()) if token["content"] in named and not token["special"]]
    for token in unmarked:
        token["special"] = True
    return tokenizers.Tokenizer.from_str(json.dumps(tree) if unmarked else text)


def _token_name(value: object) -> str | None:
    """Settings files write a token as text or as {"content": text, ...}."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _local_files(spec: PretrainedTokenizer) -> dict[str, Path]:
    folder = Path(spec.name)
    if not (folder / _TOKENIZER_FILE).is_file():
        raise DataError(
            "tokenizer.name", f"folder {spec.name} has no {_TOKENIZER_FILE}; expected a fast tokenizer of Hugging Face"
        )
    return {path.name: path for path in folder.glob("*.json")}


def _hub_files(spec: PretrainedTokenizer) -> dict[str, Path]:
    from vlmlab.data.sources.hub import fetch_hub

    names = (_TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json")
    folder = fetch_hub(spec.name, kind="model", revision=spec.revision, patterns=names, where="tokenizer.name")
    if not (folder / _TOKENIZER_FILE).is_file():
        raise DataError(
            "tokenizer.name", f"{spec.name} has no {_TOKENIZER_FILE}; expected a fast tokenizer of Hugging Face"
        )
    return {name: folder / name for name in names if (folder / name).is_file()}

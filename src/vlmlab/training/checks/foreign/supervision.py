"""What a foreign data set teaches a foreign model: learned tokens, the chat template's traps, padding."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlmlab.records.check import CheckRecord
from vlmlab.training.checks.foreign.encode import Encoded
from vlmlab.training.checks.foreign.folder import ForeignModel
from vlmlab.training.checks.foreign.samples import Sample

SUPERVISION = "supervised tokens"
TEMPLATE = "chat template"
BOUNDARIES = "turn boundaries"
PADDING = "padding"
BEGIN = "begin token"


def probe_supervision(encoded: Sequence[Encoded]) -> CheckRecord:
    """Every sample has a token to learn."""
    idle = [sample.key for sample in encoded if not bool(sample.learned.any())]
    learned = sum(int(sample.learned.sum()) for sample in encoded)
    total = sum(sample.ids.numel() for sample in encoded)
    if idle:
        return CheckRecord(
            name=SUPERVISION,
            outcome="failed",
            words=f"{len(idle)} of {len(encoded)} samples have no token to learn: {', '.join(idle[:5])}; expected at "
            "least one assistant turn each",
        )
    share = 100 * learned / total
    words = f"{learned} of {total} tokens of {len(encoded)} samples are answers ({share:.0f} %)"
    return CheckRecord(name=SUPERVISION, outcome="ok", words=words)


def probe_template(foreign: ForeignModel, samples: Sequence[Sample]) -> CheckRecord:
    """Whether the template can say itself what the assistant said, and what tokenising through it returns."""
    chats = [sample for sample in samples if sample.messages is not None]
    if not chats:
        return CheckRecord(name=TEMPLATE, outcome="not applicable", words="the data are plain text")
    if foreign.template is None:
        return CheckRecord(
            name=TEMPLATE,
            outcome="failed",
            words="the folder has no chat template, but the data are messages; save one with the processor",
        )
    marked = re.search(r"\{%-?\s*generation\b", foreign.template) is not None
    found = [] if marked else ["it has no {% generation %} block, so assistant masks made by it are all zeros"]
    if foreign.tokenizer.chat_template is not None:
        asked = [{"role": "user", "content": "a"}]
        returned = foreign.tokenizer.apply_chat_template(asked, tokenize=True)
        if not isinstance(returned, list):
            found.append(
                f"apply_chat_template(tokenize=True) returns {type(returned).__name__} with {len(returned)} entries, "
                "not a list of ids: take its input_ids, for its length is no number of tokens"
            )
    return CheckRecord(
        name=TEMPLATE, outcome="note" if found else "ok", words="; ".join(found) or "it marks what the assistant says"
    )


def probe_boundaries(encoded: Sequence[Encoded]) -> CheckRecord:
    """Whether masks made by the length of the prompt fall where the answers begin and end."""
    unstable = [sample.key for sample in encoded if sample.unstable]
    slipped = [sample for sample in encoded if sample.slipped]
    if unstable:
        return CheckRecord(
            name=BOUNDARIES,
            outcome="failed",
            words=f"{len(unstable)} samples ({', '.join(unstable[:3])}): the template renders the beginning of the "
            "conversation otherwise than the beginning of the whole; masks by length are wrong, use offsets or a "
            "{% generation %} block",
        )
    if slipped:
        most = max(sample.slipped for sample in slipped)
        return CheckRecord(
            name=BOUNDARIES,
            outcome="note",
            words=f"{len(slipped)} of {len(encoded)} samples ({', '.join(sample.key for sample in slipped[:3])}): the "
            f"prompt alone ends in other tokens than in the whole; masks by length are off by up to {most} tokens",
        )
    return CheckRecord(name=BOUNDARIES, outcome="ok", words="the tokens of every prompt begin those of the whole")


def probe_padding(foreign: ForeignModel, encoded: Sequence[Encoded]) -> CheckRecord:
    """What happens to labels that are masked by the id of the padding token, as collators do."""
    pad, end = foreign.tokenizer.pad_token_id, foreign.tokenizer.eos_token_id
    if pad is None:
        return CheckRecord(
            name=PADDING, outcome="note", words="there is no padding token; batches need one, or packing"
        )
    lost = sum(int((sample.learned & (sample.ids == pad)).sum()) for sample in encoded)
    if lost:
        what = "the end token" if pad == end else "a token that answers contain"
        return CheckRecord(
            name=PADDING,
            outcome="failed" if pad != end else "note",
            words=f"the padding token ({pad}) is {what}: labels masked by its id lose {lost} learned tokens"
            + (", and the model never learns to stop; mask by attention_mask" if pad == end else ""),
        )
    shared = "; it is the end token, but no answer ends in it" if pad == end else ""
    return CheckRecord(
        name=PADDING, outcome="note" if shared else "ok", words=f"the padding token ({pad}) is never learned{shared}"
    )


def probe_begin(foreign: ForeignModel, encoded: Sequence[Encoded]) -> CheckRecord:
    """Two begin tokens: one from the template, one from the tokenizer."""
    begin = foreign.tokenizer.bos_token_id
    if begin is None:
        return CheckRecord(name=BEGIN, outcome="not applicable", words="the tokenizer has none")
    template = foreign.template or ""
    writes = "bos_token" in template or (foreign.tokenizer.bos_token or "\0") in template
    adds = foreign.tokenizer("a")["input_ids"][:1] == [begin]
    twice = [sample.key for sample in encoded if sample.ids[0, :2].tolist() == [begin, begin]]
    if twice:
        words = f"{len(twice)} samples begin with it twice: {', '.join(twice[:3])}"
        return CheckRecord(name=BEGIN, outcome="failed", words=words)
    if writes and adds:
        words = "template and tokenizer both write it: tokenise rendered text with add_special_tokens=False"
        return CheckRecord(name=BEGIN, outcome="note", words=words)
    return CheckRecord(name=BEGIN, outcome="ok", words="written once at most")

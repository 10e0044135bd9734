"""The checks of a foreign model with a foreign data set, for people who train elsewhere."""

from __future__ import annotations

from pathlib import Path

from vlmlab.errors import DataError
from vlmlab.records.check import CheckRecord, CheckReport, CheckSection, check_report
from vlmlab.training.checks.foreign.encode import Encoded, encode_sample
from vlmlab.training.checks.foreign.folder import open_folder
from vlmlab.training.checks.foreign.images import probe_images
from vlmlab.training.checks.foreign.learning import probe_learning
from vlmlab.training.checks.foreign.packing import check_way, probe_packing
from vlmlab.training.checks.foreign.samples import read_samples
from vlmlab.training.checks.foreign.supervision import (
    probe_begin,
    probe_boundaries,
    probe_padding,
    probe_supervision,
    probe_template,
)

SAMPLES = "samples"
MOST_SAMPLES = 64
"""Samples that are looked at, from the first."""


def check_foreign(folder: Path, *, data: str, packed: str | None, device: str) -> CheckReport:
    """Check a model's folder with JSON lines. `packed` is the way in which its trainer packs, if it does.

    Raises DataError where folder or data cannot be read, RecipeError for an unknown way of packing.
    """
    check_way(packed)
    samples = read_samples(data, most=MOST_SAMPLES)
    foreign = open_folder(folder, device=device)
    template = probe_template(foreign, samples)
    encoded: list[Encoded] = []
    refused: list[str] = []
    if template.outcome != "failed":
        for sample in samples:
            try:
                encoded.append(encode_sample(foreign, sample))
            except DataError as error:
                refused.append(str(error))
    checks = [_samples(encoded, refused, total=len(samples)), template]
    if encoded:
        checks += [
            probe_supervision(encoded),
            probe_boundaries(encoded),
            probe_begin(foreign, encoded),
            probe_padding(foreign, encoded),
            (images := probe_images(foreign, encoded)),
        ]
        if images.outcome != "failed":
            checks += probe_learning(foreign, encoded)
        checks += probe_packing(foreign, encoded, packed=packed)
    attention = foreign.model.config.get_text_config()._attn_implementation
    weights = f"of the folder, {type(foreign.model).__name__}, attention {attention}"
    return check_report(str(folder), [CheckSection(title=data, weights=weights, checks=checks)])


def _samples(encoded: list[Encoded], refused: list[str], *, total: int) -> CheckRecord:
    if refused:
        return CheckRecord(
            name=SAMPLES, outcome="failed", words=f"{len(refused)} of {total} cannot be used, the first: {refused[0]}"
        )
    shown = sum(bool(sample.images) for sample in encoded)
    return CheckRecord(name=SAMPLES, outcome="ok", words=f"{total} looked at, {shown} with images")

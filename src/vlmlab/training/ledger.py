"""The ledger: what a stage trains and what it leaves alone, with the rates that really apply."""

from __future__ import annotations

from collections.abc import Sequence

from vlmlab.models.build import components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.trainable import ParameterGroup
from vlmlab.records.run import LedgerRow


def ledger(model: VisionLanguageModel, groups: Sequence[ParameterGroup]) -> list[LedgerRow]:
    """One row an optimiser group and one a frozen component."""
    rows: list[LedgerRow] = []
    trained = {group.component for group in groups}
    for component, module in components(model).items():
        if component not in trained:
            parameters = list(module.parameters())
            rows.append(
                LedgerRow(
                    component=component, mode="frozen", group="frozen", tensors=len(parameters),
                    parameters=sum(parameter.numel() for parameter in parameters), learning_rate=0.0, weight_decay=0.0,
                )
            )  # fmt: skip
    for group in groups:
        rows.append(
            LedgerRow(
                component=group.component, mode="full", group=group.group, tensors=len(group.parameters),
                parameters=sum(parameter.numel() for parameter in group.parameters),
                learning_rate=group.learning_rate, weight_decay=group.weight_decay,
            )
        )  # fmt: skip
    return rows

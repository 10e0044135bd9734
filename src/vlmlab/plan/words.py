"""A plan in words: aligned tables with units."""

from __future__ import annotations

from vlmlab.plan.record import Flops, Plan, StagePlan
from vlmlab.wording import bytes_words, count, flops_words, seconds_words, table


def words(plan: Plan) -> str:
    """The plan as readable text."""
    parts = [
        f"{plan.recipe} on {plan.machine} ({plan.hardware}, {plan.precision})",
        _parameters(plan),
    ]
    if plan.stages:
        parts += [_stages(plan), _tokens(plan), _operations(plan)]
    if plan.prompts:
        parts.append(f"Evaluation: {plan.prompts:,} prompts, controls included; their time is not in the table.")
    parts.append(
        "Parameters are exact. Documents, tokens, operations, memory and time rest on the expected size of each\n"
        "source's documents. Executed: dense attention, padding included. Useful: real positions, causal, by document."
    )
    if plan.notes:
        parts.append("\n".join(["Notes", *(f"  {note}" for note in plan.notes)]))
    return "\n\n".join(parts)


def _parameters(plan: Plan) -> str:
    names = list(plan.parameters)
    heading = ["Parameters (in all; trained in each stage)", "", *(stage.name for stage in plan.stages)]
    rows = [heading]
    for name in names:
        rows.append([name, f"{plan.parameters[name]:,}", *(_trained(stage, name) for stage in plan.stages)])
    if any("objective" in stage.trained for stage in plan.stages):
        rows.append(["objective's own parts", "", *(_trained(stage, "objective") for stage in plan.stages)])
    totals = [count(sum(stage.trained.values())) for stage in plan.stages]
    rows.append(["total", f"{plan.total_parameters:,}", *totals])
    return table(rows, indent=0)


def _trained(stage: StagePlan, component: str) -> str:
    return count(stage.trained[component]) if component in stage.trained else "-"


def _stages(plan: Plan) -> str:
    rows = [["Stage", "steps", "rows x length", "executed", "useful", "memory", "time", "price"]]
    for stage in plan.stages:
        rows.append(
            [
                stage.name,
                f"{stage.steps:,}",
                f"{stage.rows} x {stage.length}",
                flops_words(_sum(stage.executed)),
                flops_words(_sum(stage.useful)),
                bytes_words(stage.memory.total),
                seconds_words(stage.seconds),
                _price(stage.price),
            ]
        )
    rows.append(
        [
            "total",
            "",
            "",
            flops_words(plan.executed),
            flops_words(plan.useful),
            "",
            seconds_words(plan.seconds),
            _price(plan.price),
        ]
    )
    return table(rows, indent=0)


def _tokens(plan: Plan) -> str:
    rows = [["Data", "documents", "images", "positions", "visual", "learned", "fill"]]
    for stage in plan.stages:
        counts = (stage.documents, stage.images, stage.tokens, stage.visual_tokens, stage.learned_tokens)
        rows.append([stage.name, *map(count, counts), f"{100 * stage.fill:.0f} %"])
    return f"{table(rows, indent=0)}\nA square view has {plan.visual_tokens_per_view} visual tokens."


def _operations(plan: Plan) -> str:
    rows = [["Operations", "executed forward", "backward", "useful forward", "backward"]]
    for stage in plan.stages:
        for part, executed in stage.executed.items():
            if executed.forward:
                useful = stage.useful[part]
                figures = (executed.forward, executed.backward, useful.forward, useful.backward)
                rows.append([f"{stage.name}: {part}", *map(flops_words, figures)])
    return table(rows, indent=0)


def _sum(flops: dict[str, Flops]) -> float:
    return sum(part.forward + part.backward for part in flops.values())


def _price(price: float) -> str:
    return f"{price:,.2f}" if price else "-"

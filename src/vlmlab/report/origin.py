"""Sections of the page: how the recipe differs from its base, what was refused, what it cost, where it comes from."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from vlmlab.errors import RunError
from vlmlab.plan.record import Plan, StagePlan
from vlmlab.recipe.spec import flatten
from vlmlab.records.read import RunRecord
from vlmlab.records.run import StageRecord
from vlmlab.report import numbers
from vlmlab.report.differences import differences
from vlmlab.report.figures import Part, parts_bar
from vlmlab.report.markup import Column, Markup, join, raw, table, tag
from vlmlab.report.rates import cost
from vlmlab.wording import count


def difference_section(run: RunRecord) -> Markup:
    """The table of differences, then the recipe as written and resolved, folded."""
    base, name = run.provenance.base, run.provenance.base_name
    parts: list[Markup] = []
    if base is None:
        parts.append(tag("p", "This recipe derives from no other: everything that it says is its own."))
    else:
        found = differences(base, run.recipe)
        parts.append(
            tag(
                "p",
                "It derives from ",
                tag("code", name or "an unnamed recipe"),
                f" and differs in {len(found)} fields, its name left aside.",
            )
        )
        if found:
            columns = [Column("field"), Column(f"in {name}" if name else "in the base"), Column("here")]
            rows = [[_path(row.path), _value(row.base), _value(row.here)] for row in found]
            parts.append(table("", columns, rows, label="Differences from the base recipe"))
    if run.recipe_text is not None:
        parts.append(_folded("The recipe as written", run.recipe_text))
    parts.append(
        _folded(
            "The full recipe, every default written out",
            yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True, width=100),
        )
    )
    return join(parts)


def _path(path: str) -> Markup:
    """A dotted path that may break after its dots."""
    first, *others = path.split(".")
    return tag("code", first, *(join([".", raw("<wbr>"), part]) for part in others))


def _value(words: str | None) -> Markup:
    return tag("span.quiet", "not there") if words is None else tag("code", words)


def _folded(title: str, text: str) -> Markup:
    return tag("details", tag("summary", title), tag("pre", tag("code", text), attributes={"tabindex": "0"}))


def refused_section(run: RunRecord) -> Markup:
    """Samples that could not be used, by stage and source, with the first reasons."""
    rows, examples = [], []
    for stage in run.stages:
        for source, refusals in stage.record.refusals.items():
            if not refusals.refused:
                continue
            share = refusals.refused / refusals.read if refusals.read else 0.0
            rows.append(
                [
                    stage.record.name,
                    source,
                    numbers.whole(refusals.read),
                    numbers.whole(refusals.refused),
                    numbers.share(share),
                ]
            )
            examples += [
                tag("li", tag("code", example.get("key", "")), " ", example.get("reason", ""))
                for example in refusals.examples
            ]
    if not rows:
        read = sum(refusals.read for stage in run.stages for refusals in stage.record.refusals.values())
        return tag("p", f"None: all {numbers.whole(read)} samples that were read could be used." if read else "None.")
    columns = [
        Column("stage"),
        Column("source"),
        Column("read", numeric=True),
        Column("refused", numeric=True),
        Column("share", numeric=True),
    ]
    first = tag("ul.reasons", *examples) if examples else None
    return join(
        [table("", columns, rows, label="Refused samples"), tag("p", "The first of them:") if first else None, first]
    )


def cost_section(run: RunRecord) -> Markup:
    """Seconds by part as a bar and a table, with what was planned beside them where a plan was kept."""
    spent = cost(run)
    parts = [
        _Part(stage.record.name, stage.record.seconds, stage.record.cpu_seconds, stage.record) for stage in run.stages
    ]
    if run.evaluation is not None:
        parts.append(_Part("evaluation", run.evaluation.seconds, run.evaluation.cpu_seconds, None))
    own = [Part(part.name, part.seconds) for part in parts if not part.reused() and part.seconds > 0]
    colours = {part.name: index % 6 for index, part in enumerate(own)}
    words = (
        f"This run took {numbers.duration(spent.seconds)} of wall time and "
        f"{numbers.duration(spent.cpu_seconds)} of CPU time, set-up left out."
    )
    if spent.reused_seconds:
        words += (
            f" Stages taken from the store had cost another {numbers.duration(spent.reused_seconds)} "
            f"({numbers.duration(spent.reused_cpu_seconds)} of CPU)."
        )
    plans = planned(run)
    columns = [Column("part"), Column("wall", numeric=True), Column("CPU", numeric=True)]
    if plans:
        titles = ("wall planned", "tokens", "tokens planned", "FLOPs planned", "planned FLOPs a second")
        columns += [Column(title, numeric=True) for title in titles]
        words += " FLOPs are the plan's count of executed operations; the last column divides them by the wall time."
    rows = [_cost_row(part, plans, colours) for part in parts]
    title = "Wall time by part: " + ", ".join(f"{part.name} {numbers.duration(part.value)}" for part in own)
    return join([tag("p", words), parts_bar(own, title=title) if own else None, table("", columns, rows, label="Cost")])


@dataclass(frozen=True, slots=True)
class _Part:
    """A stage, or the evaluation, which has no stage record."""

    name: str
    seconds: float
    cpu_seconds: float
    stage: StageRecord | None

    def reused(self) -> bool:
        return self.stage is not None and self.stage.reused


def _cost_row(part: _Part, plans: dict[str, StagePlan], colours: dict[str, int]) -> list[Markup | str]:
    key = tag(f"span.key.part{colours[part.name]}") if part.name in colours and not part.reused() else None
    name = join([key, part.name, " (reused)" if part.reused() else ""])
    row: list[Markup | str] = [name, numbers.duration(part.seconds), numbers.duration(part.cpu_seconds)]
    if not plans:
        return row
    if part.stage is None or part.name not in plans:
        return [*row, "–", "–", "–", "–", "–"]
    plan = plans[part.name]
    executed = _executed(plan)
    row += [
        numbers.duration(plan.seconds),
        numbers.whole(part.stage.tokens),
        numbers.whole(plan.tokens),
        count(executed),
    ]
    return [*row, count(executed / part.seconds) if part.seconds > 0 else "–"]


def planned(run: RunRecord) -> dict[str, StagePlan]:
    """The plan of each stage, {} where no plan was kept."""
    if run.plan is None:
        return {}
    try:
        return {stage.name: stage for stage in Plan.model_validate(run.plan).stages}
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        where = str(run.folder / "plan.json")
        raise RunError(where, f"{field}: {first['msg']}; expected what `vlmlab plan --json` prints") from error


def _executed(stage: StagePlan) -> float:
    return sum(flops.forward + flops.backward for flops in stage.executed.values())


def provenance_section(run: RunRecord) -> Markup:
    """Versions, machine, time."""
    origin = run.provenance
    facts = [
        ("recipe", run.name()),
        ("fingerprint", run.fingerprint()),
        ("seed", str(run.recipe.get("seed", ""))),
        ("started", origin.started),
        ("vlmlab", origin.vlmlab),
        ("git revision", origin.git or "not in a repository"),
        ("Python", origin.python),
        ("torch", origin.torch),
        ("transformers", origin.transformers),
        ("platform", origin.platform),
        ("processor", origin.processor),
    ]
    machine = "\n".join(
        f"{path}: {json.dumps(value, ensure_ascii=False)}" for path, value in flatten(origin.machine).items()
    )
    identities = table(
        "The identity of a stage is the hash of all that can change its outcome; the store keeps stages by it.",
        [Column("stage"), Column("identity"), Column("origin")],
        [
            [stage.record.name, tag("code", stage.record.identity), "store" if stage.record.reused else "this run"]
            for stage in run.stages
        ],
        label="Identities of the stages",
    )
    pairs = tag("dl.provenance", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts))
    return join([pairs, identities if run.stages else None, _folded("The machine", machine)])


def again_section(run: RunRecord) -> Markup:
    """Commands that repeat this run, or a replicate of it."""
    lines, command = [], shlex.join(run.provenance.command)
    revision = run.provenance.git
    if revision is not None:
        # A + after the revision marks a checkout with uncommitted changes.
        clean = revision.removesuffix("+")
        lines.append(f"git checkout {clean}" + ("" if clean == revision else "   # and the changes not committed then"))
    seed = int(run.recipe.get("seed", 0)) + 1
    name = run.folder.name
    resolved = shlex.quote(f"runs/{name}/recipe.resolved.json")
    lines += [
        command,
        "",
        "# the same recipe with every draw made anew",
        f"vlmlab run {resolved} --set seed={seed} --out {shlex.quote(f'runs/{name}-seed-{seed}')}",
    ]
    words = (
        "On the same machine the same recipe gives the same numbers, bit for bit; "
        "on another one they agree within a tolerance."
    )
    return join([tag("p", words), tag("pre", tag("code", "\n".join(lines)), attributes={"tabindex": "0"})])

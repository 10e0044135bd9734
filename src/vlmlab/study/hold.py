"""Budgets: what every arm is planned to spend, and the one that is held equal.

Quantities come from `plan`, so a budget is equal as far as the plan's expectations of the data go. Where a field may
give way it is solved for each arm by bisection; the schedule of a stage ends with its duration, whatever that becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from vlmlab.errors import RecipeError, StudyError, near
from vlmlab.plan.estimate import plan
from vlmlab.plan.record import StagePlan
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.path import get
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.study import BudgetRecord
from vlmlab.study.levels import Arm, changed_arm
from vlmlab.study.study import Budget, Hold, Study, Tuning
from vlmlab.study.tasks import stage_keys
from vlmlab.wording import flops_words

MOST_DOUBLINGS = 12
"""Beyond a factor of 4096 from what is written no field is searched."""


def planned_budget(
    recipe: Recipe, machine: Machine, *, stages: Sequence[str], tuning: Tuning | None = None
) -> BudgetRecord:
    """What the plan expects an arm to spend on `stages`; operations do not depend on the machine."""
    planned = plan(recipe, machine)
    own = [stage for stage in planned.stages if stage.name in stages]

    def patches(stage: StagePlan) -> int:
        side = recipe.image_policy(recipe.stages[stage.name]).side
        return stage.images * (side // recipe.model.vision.patch) ** 2

    return BudgetRecord(
        updates=sum(stage.steps for stage in own),
        examples=sum(stage.documents for stage in own),
        images=sum(stage.images for stage in own),
        supervised_tokens=sum(stage.learned_tokens for stage in own),
        positions=sum(stage.tokens for stage in own),
        patches=sum(map(patches, own)),
        stage_flops=sum(_useful(stage) for stage in own),
        total_flops=planned.useful * (1 + num_trials(tuning)),
        cpu_seconds=None,
    )


def num_trials(tuning: Tuning | None) -> int:
    """Tuning trials of one arm before the grid is widened."""
    return 0 if tuning is None else len(tuning.grid) * tuning.replicates


def spent(budget: Budget, of: BudgetRecord) -> float:
    """One budget of a record."""
    match budget:
        case "updates":
            return of.updates
        case "examples":
            return of.examples
        case "images":
            return of.images
        case "supervised_tokens":
            return of.supervised_tokens
        case "stage_flops":
            return of.stage_flops
        case "total_flops":
            return of.total_flops


def budget_words(budget: Budget, amount: float) -> str:
    """An amount with its unit.

    >>> budget_words("images", 35946.0)
    '35,946 images'
    """
    if budget in ("stage_flops", "total_flops"):
        return flops_words(amount)
    return f"{amount:,.0f} {budget.replace('_', ' ')}"


def differing_stages(arms: Sequence[Arm]) -> tuple[str, ...]:
    """Stages that arms do not share, in the reference's order; all of them where nothing differs."""
    keys = [dict(zip(arm.recipe.stages, stage_keys(arm.recipe), strict=True)) for arm in arms]
    names = tuple(dict.fromkeys(name for its in keys for name in its))
    return tuple(name for name in names if len({its.get(name) for its in keys}) > 1) or names


def compared_stages(study: Study, arms: Sequence[Arm], *, where: str) -> tuple[str, ...]:
    """Stages whose budget is compared: those that the study names, else every one in which arms differ.

    The stage of the free field is one of them, and what follows it.
    """
    known = tuple(dict.fromkeys(name for arm in arms for name in arm.recipe.stages))
    for name in study.hold.stages:
        if name not in known:
            raise StudyError(f"{where}: hold.stages", f"no arm has a stage {name!r}{near(name, known)}")
    if study.hold.stages:
        return tuple(name for name in known if name in study.hold.stages)
    differing = differing_stages(arms)
    free = (study.hold.free or "").split(".")
    if len(free) > 1 and free[0] == "stages" and free[1] in known:
        return tuple(name for name in known if name in differing or name == free[1])
    return differing


def hold_equal(study: Study, arms: Sequence[Arm], *, stages: Sequence[str], where: str) -> tuple[Arm, ...]:
    """The arms with the free field solved, so that each spends what the reference, the first one, spends.

    Raises StudyError with the amounts where the budget cannot be held equal.
    """
    hold = study.hold

    def amount(recipe: Recipe) -> float:
        return spent(hold.budget, planned_budget(recipe, Machine(), stages=stages, tuning=study.tuning))

    target = amount(arms[0].recipe)
    if target <= 0:
        raise StudyError(
            f"{where}: hold.budget",
            f"the reference arm {arms[0].name} spends no {hold.budget.replace('_', ' ')} in {', '.join(stages)}; hold "
            "another budget, or name other stages in hold.stages",
        )
    solved = list(arms)
    if hold.free is not None:
        solved = [_solved(arm, hold, target, amount, where=where) for arm in arms]
    amounts = {arm.name: amount(arm.recipe) for arm in solved}
    off = {name: each for name, each in amounts.items() if abs(each / target - 1) > hold.tolerance}
    if off:
        raise StudyError(f"{where}: hold", _unequal(hold, amounts, off, target, arms[0].name, stages, list(solved)))
    return tuple(solved)


def _unequal(
    hold: Hold,
    amounts: dict[str, float],
    off: dict[str, float],
    target: float,
    reference: str,
    stages: Sequence[str],
    arms: Sequence[Arm],
) -> str:
    listed = ", ".join(
        f"{name} {budget_words(hold.budget, amounts[name])} ({each / target - 1:+.1%})" for name, each in off.items()
    )
    words = (
        f"{hold.budget.replace('_', ' ')} of {', '.join(stages)} are not equal: the reference {reference} spends "
        f"{budget_words(hold.budget, target)}, but {listed}; {hold.tolerance:.1%} is tolerated"
    )
    if hold.free is not None:
        nearest = ", ".join(f"{arm.name} {_number(arm, hold.free)}" for arm in arms if arm.name in off)
        return f"{words}. The nearest whole numbers of {hold.free} are {nearest}: free a finer field"
    example = f"stages.{stages[-1]}.duration.steps"
    if hold.budget == "updates":
        return f"{words}. Give every arm the same steps, hold another budget, or name the field that may give: free"
    return f"{words}. Name the field that may give way, as in hold: {{budget: {hold.budget}, free: {example}}}"


def _solved(arm: Arm, hold: Hold, target: float, amount: Callable[[Recipe], float], *, where: str) -> Arm:
    """The arm with the free field at the whole number that spends nearest to the target."""
    path = hold.free
    assert path is not None
    here = f"{where}: hold.free"
    start = _number(arm, path, where=here)
    known: dict[int, float | None] = {}

    def at(value: int) -> float | None:
        """None where the value makes no recipe."""
        if value not in known:
            try:
                known[value] = amount(changed_arm(arm, path, value).recipe)
            except RecipeError:
                known[value] = None
        return known[value]

    written = at(start)
    assert written is not None, "the arm is a recipe as it is written"
    if written == target:
        return arm
    probe = next((value for value in (2 * start, start // 2) if value >= 1 and at(value) is not None), None)
    if probe is None or at(probe) == written:
        raise StudyError(
            here,
            f"{path} does not change {hold.budget.replace('_', ' ')} of arm {arm.name}, which spends "
            f"{budget_words(hold.budget, written)} where {budget_words(hold.budget, target)} are held; free another "
            "field, such as a stage's duration.steps",
        )
    sign = 1.0 if ((at(probe) or 0.0) > written) == (probe > start) else -1.0
    low, high = _bracket(arm, hold, start, sign, target, at, where=here)
    while high - low > 1:
        middle = (low + high) // 2
        value = at(middle)
        if value is None:
            raise StudyError(here, _no_recipe(arm, path, middle))
        low, high = (middle, high) if sign * value <= sign * target else (low, middle)
    _check_monotone(arm, path, hold, known, sign, where=here)
    best = min((low, high), key=lambda value: abs((at(value) or 0.0) - target))
    return arm if best == start else changed_arm(arm, path, best)


def _bracket(
    arm: Arm,
    hold: Hold,
    start: int,
    sign: float,
    target: float,
    at: Callable[[int], float | None],
    *,
    where: str,
) -> tuple[int, int]:
    """Two values between which the target is reached."""
    low = high = start
    for _ in range(MOST_DOUBLINGS):
        lowest, highest = at(low), at(high)
        if lowest is None or highest is None:
            raise StudyError(where, _no_recipe(arm, hold.free or "", low if lowest is None else high))
        if sign * lowest <= sign * target <= sign * highest:
            return low, high
        if sign * highest < sign * target:
            low, high = high, 2 * high
        elif low > 1:
            low, high = low // 2, low
        else:
            break
    nearest = low if low < start else high
    raise StudyError(
        where,
        f"arm {arm.name} cannot spend {budget_words(hold.budget, target)}: even at {nearest} {hold.free} gives "
        f"{budget_words(hold.budget, at(nearest) or 0.0)}; free another field",
    )


def _check_monotone(
    arm: Arm, path: str, hold: Hold, known: dict[int, float | None], sign: float, *, where: str
) -> None:
    """Raise StudyError where the budget turns back, for then a solution is not the only one."""
    seen = [(value, found) for value, found in sorted(known.items()) if found is not None]
    for (before, less), (after, more) in pairwise(seen):
        if sign * more < sign * less:
            raise StudyError(
                where,
                f"{hold.budget.replace('_', ' ')} of arm {arm.name} do not go one way with {path}: "
                f"{budget_words(hold.budget, less)} at {before}, {budget_words(hold.budget, more)} at {after}; free "
                "another field",
            )


def _no_recipe(arm: Arm, path: str, value: int) -> str:
    try:
        changed_arm(arm, path, value)
    except RecipeError as error:
        return f"the search came to {path}: {value}, which makes no recipe ({error}); free another field"
    raise AssertionError("the value makes a recipe")


def _number(arm: Arm, path: str, *, where: str = "") -> int:
    """The whole number that stands in an arm's recipe."""
    try:
        value: Any = get(arm.recipe.plain(), path)
    except RecipeError as error:
        raise StudyError(where, f"arm {arm.name}: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise StudyError(
            where, f"{path} is {value!r} in arm {arm.name}; expected a whole number, such as a stage's duration.steps"
        )
    return value


def _useful(stage: StagePlan) -> float:
    return sum(part.forward + part.backward for part in stage.useful.values())

"""The question alone says nothing about the answer, and no answer is far more frequent than the others."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from tests.data.world.answering import true_answer
from vlmlab.data.world.facts import build_facts
from vlmlab.data.world.questions import GeneralKind
from vlmlab.data.world.vocabulary import DIRECTIONS, RELATIONS, SHAPES
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.evaluation import WorldBenchmarkFamily
from vlmlab.recipe.source import Scenes

QUESTIONS: tuple[WorldBenchmarkFamily, ...] = ("general", "reading", "knowledge")


def _kind_of(question: str) -> GeneralKind:
    if "objects" in question:
        return "count"
    if question.startswith(("is there", "can you")):
        return "presence"
    if any(direction in question for direction in DIRECTIONS):
        return "beside"
    return "colour" if any(f" {shape}" in question for shape in SHAPES) else "shape"


def test_general_answers_are_near_chance_given_the_question(world: GeneratedWorld, scenes: Scenes) -> None:
    answers: dict[GeneralKind, Counter[str]] = defaultdict(Counter)
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for item in world.benchmark_items("general", 3000, scenes):
        assert item.question is not None
        truth = item.answers[0]
        answers[_kind_of(item.question)][truth] += 1
        by_question[item.question][truth] += 1
    shares = {kind: counts.total() / 3000 for kind, counts in answers.items()}
    expected = {"colour": 0.35, "shape": 0.25, "count": 0.12, "presence": 0.13, "beside": 0.15}
    assert shares == pytest.approx(expected, abs=0.03)
    chance = {"colour": 1 / 8, "shape": 1 / 8, "beside": 1 / 8, "count": 1 / 3, "presence": 1 / 2}
    for kind, counts in answers.items():
        assert max(counts.values()) / counts.total() < chance[kind] + 0.07, (kind, counts)
    # The best guesser that knows only the question, on questions asked often enough to tell (about 65 times each).
    often = {question: counts for question, counts in by_question.items() if counts.total() >= 40}
    assert len(often) > 20
    for question, counts in often.items():
        assert max(counts.values()) / counts.total() < chance[_kind_of(question)] + 0.21, (question, counts)


def test_reading_and_knowledge_answers_are_near_chance(world: GeneratedWorld, scenes: Scenes) -> None:
    reading = Counter(item.answers[0] for item in world.benchmark_items("reading", 1500, scenes))
    assert set(reading) == set(world.content.words)
    assert max(reading.values()) / 1500 < 0.06
    knowledge: dict[int, Counter[str]] = defaultdict(Counter)
    for item in world.benchmark_items("knowledge", 1500, scenes):
        for number, relation in enumerate(RELATIONS):
            if item.answers[0] in relation.values:
                knowledge[number][item.answers[0]] += 1
    for counts in knowledge.values():
        assert max(counts.values()) / counts.total() < 0.25, counts


def test_binding_queries_ask_both_labels(world: GeneratedWorld, scenes: Scenes) -> None:
    first = 0
    for item in world.benchmark_items("binding", 400, scenes):
        assert item.demonstrations is not None
        labels = [shot.answers[0] for shot in item.demonstrations]
        assert len(labels) == 8
        assert sorted(Counter(labels[:4]).values()) == [2, 2]
        assert sorted(Counter(labels).values()) == [4, 4]
        assert item.answers[0] in labels
        first += item.answers[0] == labels[3]
    # Copying the last shot is no better than chance.
    assert 0.4 < first / 400 < 0.6


@pytest.mark.parametrize("family", QUESTIONS)
def test_references_agree_with_the_scene(family: WorldBenchmarkFamily, world: GeneratedWorld, scenes: Scenes) -> None:
    noisy = 0
    for posed in world.posed_items(family, 200, scenes):
        assert posed.scene is not None
        assert posed.item.question is not None
        truth = true_answer(posed.item.question, posed.scene, world.facts)
        counts = Counter(posed.item.answers)
        assert counts.total() == 10
        assert counts[truth] >= 6
        assert counts.most_common(1)[0][0] == truth == posed.item.answers[0]
        assert all(answer == answer.lower() for answer in posed.item.answers)
        noisy += len(counts) > 1
    assert 40 < noisy < 180


def test_captions_and_choices(world: GeneratedWorld, scenes: Scenes) -> None:
    for item in world.benchmark_items("captions", 60, scenes):
        assert item.question is None
        assert len(set(item.answers)) == len(item.answers) == 5
    right = Counter()
    for item in world.benchmark_items("text", 400, scenes):
        assert item.picture is None
        assert len(set(item.choices)) == 4
        right[item.choices.index(item.answers[0])] += 1
    assert max(right.values()) < 140


def test_items_do_not_depend_on_how_many_are_asked_for(world: GeneratedWorld, scenes: Scenes) -> None:
    for family in (*QUESTIONS, "captions", "binding", "text"):
        assert world.benchmark_items(family, 3, scenes) == world.benchmark_items(family, 9, scenes)[:3]
        ids = [item.id for item in world.benchmark_items(family, 50, scenes)]
        assert len(set(ids)) == 50


def test_facts_are_balanced_and_do_not_predict_each_other() -> None:
    for entities in (4, 24, 100, 400):
        facts = build_facts(1, entities)
        assert len({place.name for place in facts.entities}) == entities
        assert len({place.emblem for place in facts.entities}) == entities
        assert len(facts.told_pairs) + len(facts.text_only_pairs) == 4 * entities
        assert not facts.told_pairs & facts.text_only_pairs
        assert len(facts.text_only_pairs) / (4 * entities) == pytest.approx(0.4, abs=0.05)
        for relation in range(4):
            counts = Counter(place.values[relation] for place in facts.entities)
            assert max(counts.values()) - min(counts.values(), default=0) <= 1
            for other in range(relation):
                table = Counter((place.values[other], place.values[relation]) for place in facts.entities)
                assert max(table.values()) <= entities / 64 + 2
                if entities >= 24:
                    guessed = sum(max(table[a, b] for b in range(8)) for a in range(8))
                    assert guessed / entities <= 0.34

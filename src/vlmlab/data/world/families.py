"""Families: one function a kind of training row."""

from __future__ import annotations

from typing import assert_never

from vlmlab.data.document import Picture
from vlmlab.data.rows import (
    IMAGE_MARK,
    CaptionRow,
    DialogueRow,
    InterleavedRow,
    Row,
    TextRow,
    TwinBlock,
    TwinRow,
    answer_text,
    question_text,
)
from vlmlab.data.world.binding import label_order
from vlmlab.data.world.content import Draft
from vlmlab.data.world.describe import alt_text, describe
from vlmlab.data.world.facts import Pair
from vlmlab.data.world.layout import Contents
from vlmlab.data.world.pages import page_row, rendered_row
from vlmlab.data.world.questions import (
    KIND_SHARES,
    TOPIC_SHARES,
    Topic,
    ask_general,
    ask_knowledge,
    ask_reading,
    pose,
    scene_with,
)
from vlmlab.data.world.scene import Scene
from vlmlab.data.world.vocabulary import (
    BINDING_PAGE,
    BINDING_QUESTION,
    DESCRIBE_QUESTION,
    FLAG_PHRASES,
    RELATIONS,
    THIS_PLACE,
)
from vlmlab.recipe.source import TrainingFamily
from vlmlab.recipe.tokenizer import Template

TEMPLATE = Template()
"""Text twins are written in the words that few-shot prompts use by default."""
SIGN_SHARE, FLAG_SHARE = 0.35, 0.35
"""How many pictures with captions show a sign or a flag."""
PAGE_SHARE = 0.2
"""Share of binding documents that are pages, not dialogues."""
CAPTION_BLOCK_SHARE = 0.12
"""Share of text twins' blocks that retell a description."""


def training_row(draft: Draft, family: TrainingFamily) -> Row:
    """The row of a family that these draws make."""
    match family:
        case "captions":
            return _caption_row(draft)
        case "pages":
            return page_row(draft)
        case "binding":
            return _binding_row(draft)
        case "facts":
            return _facts_row(draft)
        case "twins":
            return _twins_row(draft)
        case "binding_text":
            return _binding_text_row(draft)
        case "rendered":
            return rendered_row(draft)
        case "dialogues":
            return _dialogue_row(draft)
        case _:
            assert_never(family)


def caption_scene(draft: Draft) -> Scene:
    """A picture as captions show them."""
    return scene_with(draft, sign=draft.draws.chance(SIGN_SHARE), flag=draft.draws.chance(FLAG_SHARE))


def _caption(draft: Draft, scene: Scene) -> str:
    match draft.scenes.caption_style:
        case "descriptive":
            return describe(draft.draws, scene, draft.content.facts.entities)
        case "alt_text":
            return alt_text(draft.draws, scene, draft.content.facts.entities)


def _caption_row(draft: Draft) -> CaptionRow:
    scene = caption_scene(draft)
    told = caption_scene(draft) if draft.draws.chance(draft.scenes.caption_noise) else scene
    return CaptionRow(draft.key, draft.picture(scene), _caption(draft, told))


def _num_labels(draft: Draft) -> int:
    return draft.draws.pick(((2, 0.8), (3, 0.15), (4, 0.05)))


def _binding_row(draft: Draft) -> DialogueRow | InterleavedRow:
    """A game of naming over single objects, as a dialogue or as a page."""
    draws = draft.draws
    labels = _num_labels(draft)
    game = draft.content.bindings.game(draws, draft.split, labels=labels)
    order = label_order(draws, labels=labels, turns=draws.integer(max(5, 2 * labels), 9))
    pictures = tuple(
        draft.picture(draft.arrange(Contents((game.kind(draws, label),))), place) for place, label in enumerate(order)
    )
    if draws.chance(PAGE_SHARE):
        items: list[str | Picture] = []
        for picture, label in zip(pictures, order, strict=True):
            items += [picture, BINDING_PAGE.format(label=game.labels[label])]
        return InterleavedRow(draft.key, tuple(items))
    return DialogueRow(
        draft.key, pictures, tuple((f"{IMAGE_MARK} {BINDING_QUESTION}", game.labels[label]) for label in order)
    )


def _block(description: str, question: str, answer: str) -> str:
    """The few-shot form with words in the image's place."""
    return f" {description}{question_text(question, TEMPLATE)}{answer_text(answer, TEMPLATE)}"


def _binding_text_row(draft: Draft) -> TwinRow:
    draws = draft.draws
    labels = _num_labels(draft)
    game = draft.content.bindings.game(draws, draft.split, labels=labels)
    blocks = []
    for label in label_order(draws, labels=labels, turns=draws.integer(max(5, 2 * labels), 9)):
        scene = draft.arrange(Contents((game.kind(draws, label),)))
        text = describe(draws, scene, draft.content.facts.entities)
        blocks.append(TwinBlock(text, BINDING_QUESTION, game.labels[label]))
    return TwinRow(draft.key, tuple(blocks))


def _twins_row(draft: Draft) -> TwinRow:
    """One to nine blocks; half of the rows keep to one topic, as few-shot prompts do."""
    draws = draft.draws
    only: Topic | None = draws.pick(TOPIC_SHARES) if draws.chance(0.5) else None
    blocks = []
    for _ in range(draws.integer(1, 9)):
        if draws.chance(CAPTION_BLOCK_SHARE):
            scene = caption_scene(draft)
            texts = [describe(draws, scene, draft.content.facts.entities) for _ in range(2)]
            blocks.append(TwinBlock(texts[0], None, texts[1]))
            continue
        topic = only or draws.pick(TOPIC_SHARES)
        if topic == "knowledge":
            blocks.append(_knowledge_twin(draft))
            continue
        asked = pose(draft, topic)
        text = describe(draws, asked.scene, draft.content.facts.entities, say=asked.say)
        blocks.append(TwinBlock(text, asked.question, asked.answer))
    return TwinRow(draft.key, tuple(blocks))


def any_pair(draft: Draft) -> Pair:
    """Any fact: text may tell all of them."""
    return Pair(draft.draws.below(len(draft.content.facts.entities)), draft.draws.below(len(RELATIONS)))


def _knowledge_twin(draft: Draft) -> TwinBlock:
    """Text tells every fact, also those that no training picture is asked for."""
    pair = any_pair(draft)
    scene = scene_with(draft, sign=draft.draws.chance(0.2), flag=True, place=pair.entity)
    asked = ask_knowledge(draft, scene, relation=pair.relation)
    return TwinBlock(describe(draft.draws, scene, draft.content.facts.entities), asked.question, asked.answer)


def _statement(draft: Draft, pair: Pair) -> str:
    place = draft.content.facts.entities[pair.entity]
    return draft.draws.choose(RELATIONS[pair.relation].statements).format(
        name=place.name, value=place.value(pair.relation)
    )


def _facts_row(draft: Draft) -> TextRow:
    """An article on one place, statements on several, questions with names, or questions under a flag's name."""
    draws = draft.draws
    match draws.pick((("article", 0.3), ("statements", 0.15), ("named", 0.3), ("flag", 0.25))):
        case "article":
            entity = draws.below(len(draft.content.facts.entities))
            pairs = [Pair(entity, relation) for relation in draws.shuffled(range(len(RELATIONS)))]
            text = "".join(f" {_statement(draft, pair)}" for pair in pairs)
        case "statements":
            text = "".join(f" {_statement(draft, any_pair(draft))}" for _ in range(draws.integer(3, 8)))
        case "named":
            text = "".join(_named_question(draft) for _ in range(draws.integer(1, 6)))
        case _:
            text = "".join(_flag_question(draft) for _ in range(draws.integer(1, 6)))
    return TextRow(draft.key, text)


def _named_question(draft: Draft) -> str:
    pair = any_pair(draft)
    place = draft.content.facts.entities[pair.entity]
    question = draft.draws.choose(RELATIONS[pair.relation].questions).format(place=place.name)
    return question_text(question, TEMPLATE) + answer_text(place.value(pair.relation), TEMPLATE)


def _flag_question(draft: Draft) -> str:
    pair = any_pair(draft)
    place = draft.content.facts.entities[pair.entity]
    question = draft.draws.choose(RELATIONS[pair.relation].questions).format(place=THIS_PLACE)
    return _block(draft.draws.choose(FLAG_PHRASES).format(name=place.name), question, place.value(pair.relation))


def _dialogue_row(draft: Draft) -> DialogueRow:
    if draft.draws.chance(0.5):
        return _few_shot_dialogue(draft)
    return _long_dialogue(draft)


def _few_shot_dialogue(draft: Draft) -> DialogueRow:
    """One to nine pictures with one question each: the form of a few-shot prompt."""
    draws = draft.draws
    only: Topic | None = draws.pick(TOPIC_SHARES) if draws.chance(0.5) else None
    pictures, turns = [], []
    for place in range(draws.integer(1, 9)):
        asked = pose(draft, only or draws.pick(TOPIC_SHARES))
        pictures.append(draft.picture(asked.scene, place))
        turns.append((f"{IMAGE_MARK} {asked.question}", asked.answer))
    return DialogueRow(draft.key, tuple(pictures), tuple(turns))


def _long_dialogue(draft: Draft) -> DialogueRow:
    """One picture and two to four turns about it."""
    draws = draft.draws
    pair = draft.pair() if draws.chance(0.5) else None
    sign = draws.chance(0.5)
    scene = scene_with(draft, sign=sign, flag=pair is not None, place=pair.entity if pair else None)
    asked = []
    if pair is not None:
        asked.append(ask_knowledge(draft, scene, relation=pair.relation))
    if sign:
        asked.append(ask_reading(draft, scene))
    turns = {turn.question: turn.answer for turn in asked}
    wanted = draws.integer(2, 4)
    for _ in range(8):
        if len(turns) >= wanted:
            break
        general = ask_general(draft, scene, draws.pick(KIND_SHARES))
        if general is not None:
            turns.setdefault(general.question, general.answer)
    if draws.chance(0.06):
        turns[DESCRIBE_QUESTION] = describe(draws, scene, draft.content.facts.entities)
    order = draws.shuffled(list(turns))
    return DialogueRow(draft.key, (draft.picture(scene),), tuple((question, turns[question]) for question in order))

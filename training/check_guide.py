"""Checks `aister-guide` on questions and conversations that it was not trained on.

    python -m training.check_guide inference/bundled/aister-guide

Answers are generated greedily. Three sets are compared exactly with what `Dialogue` says: questions of
`checks/guide.toml`, phrasings kept out of training (talk_holdout.py), and conversations of `checks/guide.toml` with
names never seen; those who wrote the corpus wrote these, too. A fourth, `checks/conversations.toml`, was written
without sight of the corpus and is graded as the sealed set is; it serves to choose between trainings, so
`python -m training.sealed` is the judge. The report names its wrong turns, but doesn't quote them: who writes the
corpus is not to read them.
"""

import argparse
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.publishing import read_trainings, report_of, weight_bytes
from training.sealed.answering import Guide as ServedGuide
from training.sealed.asking import ask_guide
from training.sealed.grading import Verdict
from training.sealed.report import Graded, guide_table
from training.sealed.sets import read_guide
from training.talk_corpus import Talk, read_talk
from training.talk_dialogue import Dialogue
from training.talk_holdout import split
from training.talk_memory import filled

CHECKS = Path(__file__).parent / "checks" / "guide.toml"
CONVERSATIONS = Path(__file__).parent / "checks" / "conversations.toml"
REPORT = Path(__file__).parent / "reports" / "guide.md"
MODEL = Path("inference/bundled/aister-guide")
ROWS = 32  # conversations that are answered at once
MOST_TOKENS = 120

Message = dict[str, str]
Asked = tuple[str, str]  # a question, and the id of its topic; OFF_GROUND for what is none
OFF_GROUND = "off-ground"


@dataclass(frozen=True)
class Checks:
    """Held-out questions by topic id, names for the held-out conversations, and these as scripts for Dialogue.play."""

    questions: dict[str, list[str]]
    names: list[str]
    conversations: list[str]

    def asked(self) -> list[Asked]:
        """Return the questions one by one."""
        return [(question, topic) for topic, questions in self.questions.items() for question in questions]


def read_checks(path: Path = CHECKS) -> Checks:
    """Read the held-out questions and conversations."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Checks(content["questions"], content["names"], [entry["turns"] for entry in content["conversation"]])


def forbidden_words() -> frozenset[str]:
    """Return the words that no name in training may contain: the names of the held-out conversations."""
    return frozenset(word for name in read_checks().names for word in name.casefold().replace("-", " ").split())


class Guide:
    """The trained model, answering greedily."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)

    def _answer(self, conversations: Sequence[list[Message]]) -> list[str]:
        """Return the answers to the last messages of at most ROWS conversations."""
        inputs = self.tokenizer.apply_chat_template(
            list(conversations), add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        output = self.model.generate(**inputs, do_sample=False, max_new_tokens=MOST_TOKENS)
        answers = output[:, inputs["input_ids"].shape[1] :]
        return [str(text) for text in self.tokenizer.batch_decode(answers, skip_special_tokens=True)]

    def answers(self, conversations: Sequence[list[Message]]) -> list[str]:
        """Return the answer to the last message of each conversation."""
        starts = range(0, len(conversations), ROWS)
        return [answer for start in starts for answer in self._answer(conversations[start : start + ROWS])]

    def converse(self, questions: list[str]) -> list[str]:
        """Return the answers to `questions`, asked one after the other in one conversation."""
        messages: list[Message] = []
        for question in questions:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": self.answers([messages])[0]})
        return [message["content"] for message in messages[1::2]]


class Judge:
    """Knows what the corpus says."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        openings = {opening for kind in talk.kinds.values() for opening in kind.openings}
        self._refusals = {f"{opening} {ending}" for opening in openings for ending in talk.endings} | {talk.unsure}

    def verdict(self, answer: str, topic: str) -> Verdict:
        """Judge an answer that opens a conversation; off the guide's ground any refusal is right."""
        is_refusal = answer in self._refusals
        if (topic == OFF_GROUND and is_refusal) or (topic != OFF_GROUND and answer == Dialogue(self._talk).ask(topic)):
            return Verdict.RIGHT
        return Verdict.DECLINED if is_refusal else Verdict.WRONG


def check_questions(guide: Guide, judge: Judge, asked: Sequence[Asked]) -> tuple[Counter[Verdict], list[str]]:
    """Return how many answers were what, and a line for each wrong one."""
    answers = guide.answers([[{"role": "user", "content": question}] for question, _ in asked])
    verdicts = [judge.verdict(answer, topic) for answer, (_, topic) in zip(answers, asked, strict=True)]
    wrong = [
        f"{topic}: {question!r} was answered {answer!r}"
        for verdict, answer, (question, topic) in zip(verdicts, answers, asked, strict=True)
        if verdict is Verdict.WRONG
    ]
    return Counter(verdicts), wrong


def check_conversations(guide: Guide, talk: Talk, checks: Checks) -> tuple[int, int, list[str]]:
    """Play each conversation with each held-out name. Returns (right answers, all answers, lines for wrong ones)."""
    wrong, right = [], 0
    for name in checks.names:
        for script in checks.conversations:
            turns = Dialogue(talk).play(script, {"name": name})
            turns = [(filled(question, {"name": name}), answer) for question, answer in turns]
            given = guide.converse([question for question, _ in turns])
            for (question, expected), answer in zip(turns, given, strict=True):
                right += answer == expected
                wrong += [] if answer == expected else [f"{name}: {question!r} was answered {answer!r}"]
    return right, right + len(wrong), wrong


def development() -> list[Asked]:
    """Return the phrasings that are kept out of training."""
    _, held_out = split(read_talk())
    return [*held_out.questions, *((question, OFF_GROUND) for question, _ in held_out.off_ground)]


def _row(name: str, counts: Counter[Verdict]) -> str:
    shares = (f"{counts[verdict] / counts.total():.1%}" for verdict in Verdict)
    return f"| {name} | {counts.total()} | {' | '.join(shares)} |"


def _listed(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {line}" for line in lines)]


def _wrong_turns(graded: Iterable[Graded]) -> list[str]:
    return [each.id for each in graded if each.verdict is Verdict.WRONG]


def write_report(directory: Path, report: Path | None = None) -> None:
    """Check the model in `directory`, and write the report: to `report`, or where `report_of` says."""
    torch.set_num_threads(1)
    guide, checks, talk = Guide(directory), read_checks(), read_talk()
    judge = Judge(talk)
    questions, wrong = check_questions(guide, judge, checks.asked())
    kept, wrong_kept = check_questions(guide, judge, development())
    right, turns, wrong_turns = check_conversations(guide, talk, checks)
    conversed = ask_guide(ServedGuide(directory, threads=1), read_guide(CONVERSATIONS))
    head = [
        "# aister-guide: what it was not trained on",
        "",
        f"- {guide.model.num_parameters():,} parameters, {weight_bytes(directory):,} bytes of weights",
        f"- {right} of {turns} answers in conversations with {len(checks.names)} unseen names exactly right",
        *(f"- {training}" for training in read_trainings(directory)),
        "",
        "| asked | count | right | declined | confidently wrong |",
        "|---|---|---|---|---|",
        _row("questions of checks/guide.toml", questions),
        _row("phrasings kept out of training", kept),
        "",
        "Conversations of checks/conversations.toml, written without sight of the corpus:",
        "",
        guide_table(conversed),
        "",
        "Measured with `python -m training.check_guide`. The judge is `python -m training.sealed`: see the model card.",
    ]
    wrongs = (
        ("Questions", wrong),
        ("Phrasings kept out", wrong_kept),
        ("Conversations with unseen names", wrong_turns),
        ("Turns of checks/conversations.toml", _wrong_turns(conversed)),
    )
    lines = [*head, *(line for title, each in wrongs for line in _listed(f"{title}: what was wrong", each))]
    report = report or report_of(directory, REPORT)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(head), flush=True)


def main() -> None:
    """Read the command line, check, report."""
    parser = argparse.ArgumentParser(description="Check aister-guide on what it was not trained on.")
    parser.add_argument("directory", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--report", type=Path, help="where to write the report")
    told = parser.parse_args()
    write_report(told.directory, told.report)


if __name__ == "__main__":
    main()

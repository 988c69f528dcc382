"""Checks `aister-guide` on questions and conversations that it was not trained on (`checks/guide.toml`).

    python -m training.check_guide inference/bundled/aister-guide

Answers are generated greedily and compared exactly with the answer that the corpus gives for the topic.
"""

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.guide_corpus import GuideCorpus, read_corpus
from training.publishing import weight_bytes

CHECKS = Path(__file__).parent / "checks" / "guide.toml"
REPORT = Path(__file__).parent / "reports" / "guide.md"
MODEL = Path("inference/bundled/aister-guide")

Message = dict[str, str]


@dataclass(frozen=True)
class Checks:
    """Held-out questions by topic id, names for the held-out conversations, and the conversations themselves.

    A conversation alternates what the user writes with the answer that is expected; "" expects nothing in particular.
    """

    questions: dict[str, list[str]]
    names: list[str]
    conversations: list[list[str]]


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
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        self.model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)

    def answer(self, messages: list[Message]) -> str:
        """Return the answer to the last of `messages`."""
        template = self.tokenizer.apply_chat_template
        inputs = template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = self.model.generate(**inputs, do_sample=False, max_new_tokens=120)
        text = self.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return str(text)

    def converse(self, questions: list[str]) -> list[str]:
        """Return the answers to `questions`, asked one after the other in one conversation."""
        messages: list[Message] = []
        for question in questions:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": self.answer(messages)})
        return [message["content"] for message in messages[1::2]]


def expected_answers(corpus: GuideCorpus) -> dict[str, str]:
    """Return the answer to each topic and each kind of off-topic question, by id."""
    topics = {topic.id: topic.answer for topic in corpus.topics}
    return topics | {kind.id: kind.answer for kind in corpus.off_topic}


def check_questions(guide: Guide, checks: Checks) -> tuple[list[str], int, int]:
    """Return (a line for each wrong answer, the number of right ones, the number of all)."""
    answers = expected_answers(read_corpus())
    topic_of = {answer: topic for topic, answer in answers.items()}
    wrong, right = [], 0
    for topic, questions in checks.questions.items():
        for question in questions:
            given = guide.converse([question])[0]
            right += given == answers[topic]
            if given != answers[topic]:
                wrong.append(f"{topic}: {question!r} was answered as {topic_of.get(given, repr(given))}")
    return wrong, right, right + len(wrong)


def check_conversations(guide: Guide, checks: Checks) -> tuple[list[str], int, int]:
    """Play each conversation with each held-out name. Returns (lines for wrong answers, right, all)."""
    wrong, right = [], 0
    for name in checks.names:
        for turns in checks.conversations:
            spoken = [turn.replace("{name}", name) for turn in turns]
            given = guide.converse(spoken[0::2])
            for question, expected, answer in zip(spoken[0::2], spoken[1::2], given, strict=True):
                if expected:
                    right += answer == expected
                    wrong += [] if answer == expected else [f"{name}: {question!r} was answered {answer!r}"]
    return wrong, right, right + len(wrong)


def write_report(directory: Path, steps: int | None = None) -> str:
    """Check the model in `directory`, write the report, and return it."""
    torch.set_num_threads(1)
    guide, checks = Guide(directory), read_checks()
    wrong_questions, right, questions = check_questions(guide, checks)
    wrong_turns, right_turns, turns = check_conversations(guide, checks)
    lines = [
        "# aister-guide: held-out checks",
        "",
        f"- {guide.model.num_parameters():,} parameters, {weight_bytes(directory):,} bytes of weights",
        f"- {right} of {questions} unseen questions answered with exactly the right answer",
        f"- {right_turns} of {turns} answers in conversations with {len(checks.names)} unseen names exactly right",
        *([f"- the last training run took {steps} steps"] if steps else []),
        "",
        "Measured with `python -m training.check_guide`. What was wrong:",
        "",
        *(f"- {line}" for line in wrong_questions + wrong_turns),
    ]
    report = "\n".join(lines) + "\n"
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(report, encoding="utf-8")
    print("\n".join(lines[:6]), flush=True)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check aister-guide on what it was not trained on.")
    parser.add_argument("directory", type=Path, nargs="?", default=MODEL)
    write_report(parser.parse_args().directory)

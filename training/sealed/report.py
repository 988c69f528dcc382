"""From graded answers to the tables that the model cards quote. Pure functions; Markdown, percentages of each row."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import mean

import msgspec

from training.sealed.grading import Verdict
from training.sealed.sets import Kind

FAR_OFF_CHRF = 40.0
"""Below it a translation shares little with the reference but its letters."""


class Graded(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the guide with its verdict; `group` is the table it is counted in, `conversation` whose turn."""

    group: str
    id: str
    ground: str
    text: str
    answer: str
    verdict: Verdict
    conversation: str | None = None
    points_to_a_bigger_model: bool = False


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One translation with its scores; those that compare it with references are null for a text outside."""

    id: str
    kind: Kind
    pair: str
    text: str
    translation: str
    is_warned: bool
    keeps_marks: bool
    is_exact: bool | None = None
    chrf: float | None = None

    @property
    def is_far_off(self) -> bool:
        """Wrong and not warned of; whatever is said of a text outside counts, when it comes without a warning."""
        return not self.is_warned and (self.chrf is None or (not self.is_exact and self.chrf < FAR_OFF_CHRF))


def guide_table(graded: Sequence[Graded]) -> str:
    """Return right, declined and confidently wrong by group and ground, and how many conversations are right whole."""
    rows = ["| asked | count | right | declined | confidently wrong |", "|---|---|---|---|---|"]
    for group in dict.fromkeys(each.group for each in graded):
        of_group = [each for each in graded if each.group == group]
        rows += [
            _row(f"{group}: {ground}", [each.verdict for each in of_group if each.ground == ground])
            for ground in dict.fromkeys(each.ground for each in of_group)
        ]
        rows.append(_row(f"**{group}**", [each.verdict for each in of_group]))
    conversations = _whole(graded)
    rows.append(f"| **whole conversations** | {len(conversations)} | {_share(conversations, of=conversations)} | | |")
    off = [each.points_to_a_bigger_model for each in graded if each.ground == "off"]
    note = f"Of {len(off)} answers off its ground, {_share(off, of=off)} also say how to get a bigger model."
    return "\n".join([*rows, "", note])


def _row(name: str, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdicts)
    shares = (f"{counts[verdict] / len(verdicts):.1%}" for verdict in Verdict)
    return f"| {name} | {len(verdicts)} | {' | '.join(shares)} |"


def _whole(graded: Iterable[Graded]) -> list[bool]:
    """Say of each conversation whether all its turns are right."""
    turns: dict[str, list[bool]] = {}
    for each in graded:
        if each.conversation is not None:
            turns.setdefault(each.conversation, []).append(each.verdict is Verdict.RIGHT)
    return [all(verdicts) for verdicts in turns.values()]


def _share(claims: Sequence[bool], *, of: Sequence[object]) -> str:
    return f"{sum(claims) / len(of):.1%}" if of else "none"


def phrasebook_table(scored: Sequence[Scored]) -> str:
    """Return exact matches, mean chrF, warnings, and what is far off without a warning, by kind."""
    rows = [
        "| kind | count | exact | chrF | placeholders and tags kept | warned | far off, not warned |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(each.kind for each in scored):
        of_kind = [each for each in scored if each.kind == kind]
        exact = [each.is_exact for each in of_kind if each.is_exact is not None]
        near = [each.chrf for each in of_kind if each.chrf is not None]
        cells = (
            kind,
            str(len(of_kind)),
            _share(exact, of=exact) if exact else "",
            f"{mean(near):.1f}" if near else "",
            _share([each.keeps_marks for each in of_kind], of=of_kind),
            _share([each.is_warned for each in of_kind], of=of_kind),
            _share([each.is_far_off for each in of_kind], of=of_kind),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)

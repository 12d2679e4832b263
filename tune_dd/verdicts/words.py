"""A verdict's findings for a terminal: a table for each panel, a sentence for each row, an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune_dd.evaluation.intervals import Difference, Estimate
from tune_dd.runs.score_table import aligned
from tune_dd.sweeps.plurals import counted
from tune_dd.verdicts.objectives import OBJECTIVES
from tune_dd.verdicts.questions import QUESTIONS

Finding = Mapping[str, Any]
_SAME_COST = 1.25
_LEGEND = """\
Accuracies in percent +- half-width of the 95% interval over encoders (over seeds, with one). RL minus
this: in points; the interval in brackets is for other seeds and other items on the same encoders, and holds
with 95% confidence together with those of all {comparisons} of this verdict. by encoder: the least and
the largest difference on one of them; how RL does on encoders of other seeds is seen there, not in the
interval. selection and reward: the same on the halves of validation; rewards are taken on the latter, so what
is gained there alone is overfitting. CPU s: median of making a set."""


def legend(comparisons: int, seeds: int, encoders: int) -> str:
    """How to read the tables, and what so few seeds and encoders cannot tell."""
    text = _LEGEND.format(comparisons=counted(comparisons, "comparison"))
    if encoders > 1:
        return text
    if seeds > 1:
        return f"{text}\nThere is one encoder: nothing here tells of others."
    return f"{text}\nThere is one seed on one encoder: intervals tell of the draw of items, nothing else."


def deciding_part(panel: Finding) -> str:
    """Where differences count: on test, or on the selection half where test stayed closed."""
    return "test" if "test" in panel["items"] else "selection"


def panel_words(panel: Finding) -> str:
    """``RL-Selection, 10 per class``, with the objective where the question has several."""
    question = QUESTIONS[panel["question"]]
    own = f", {OBJECTIVES[panel['objective']].words}" if len(question.objectives) > 1 else ""
    return f"{panel['budget']} per class{own}"


def table(panel: Finding, seeds: int, encoders: int) -> str:
    """A panel's rows, the RL method's above a line."""
    question, part = QUESTIONS[panel["question"]], deciding_part(panel)
    on = "test" if part == "test" else "the selection half, test not read"
    heading = (
        f"{question.method}, {panel_words(panel)}: {OBJECTIVES[panel['objective']].words} accuracy of "
        f"{counted(seeds, 'seed')} on {counted(encoders, 'encoder')}, "
        f"{counted(panel['count'], panel['counted'])}, {panel['items'][part]} items of {on}"
    )
    parts = [part, *(half for half in ("selection", "reward") if half != part)]
    own = ["by encoder"] if encoders > 1 else []
    headings = ["", *parts, f"RL minus this ({part})", *own, *parts[1:], "evaluations", "CPU s"]
    lines = aligned([headings, *(_cells(row, parts, encoders) for row in panel["rows"])])
    rule = "-" * max(map(len, lines))
    return "\n".join([heading, lines[0], rule, lines[1], rule, *lines[2:]])


def _cells(row: Finding, parts: Sequence[str], encoders: int) -> list[str]:
    differences = row["rl_minus_this"]
    own = [] if encoders == 1 else [_span(differences[parts[0]]["by_encoder"]) if differences else ""]
    return [
        row["words"] + (f" (the sets of {row['same_as']})" if row["same_as"] else ""),
        _percent(row["accuracy"][parts[0]]),
        *(f"{100 * row['accuracy'][part]['mean']:.1f}" for part in parts[1:]),
        str(_difference(differences[parts[0]])) if differences else "",
        *own,
        *(f"{100 * differences[part]['mean']:+z.1f}" if differences else "" for part in parts[1:]),
        str(row["evaluations"]),
        f"{row['cpu_s']:.2f}",
    ]


def _span(by_encoder: Sequence[float]) -> str:
    return f"{100 * min(by_encoder):+z.1f} to {100 * max(by_encoder):+z.1f}"


def sentences(panel: Finding) -> list[str]:
    """One for each control: who is better, by how much, at what cost."""
    rl, *controls = panel["rows"]
    return [_sentence(panel, rl, control) for control in controls]


def _on_encoders(by_encoder: Sequence[float], better: bool) -> str:
    """On how many encoders the difference has the sign of their mean, where there are several."""
    if len(by_encoder) == 1:
        return ""
    same = sum(found > 0 if better else found < 0 for found in by_encoder)
    return f" (on {same} of {len(by_encoder)} encoders)"


def _sentence(panel: Finding, rl: Finding, control: Finding) -> str:
    found = control["rl_minus_this"][deciding_part(panel)]
    where = panel_words(panel)
    low, high = (100 * found[end] for end in ("low", "high"))
    cost = _cost(rl["cpu_s"], control["cpu_s"])
    if rl["evaluations"] and control["evaluations"] not in (0, rl["evaluations"]):
        cost += f" and {counted(rl['evaluations'], panel['counted'])} to its {control['evaluations']}"
    if found["verdict"] == "no difference found":
        same = _same_sets(control)
        return (
            f"{rl['words']} against {control['words']}, {where}: no difference found "
            f"({_difference(found)}{same and f'; {same}'}), {cost}."
        )
    if found["verdict"] == "worse":
        low, high = -high, -low
    verb = "beats" if found["verdict"] == "better" else "is worse than"
    points = f"{abs(100 * found['mean']):.1f} points [{low:.1f}, {high:.1f}]"
    points += _on_encoders(found["by_encoder"], found["verdict"] == "better")
    return f"{rl['words']} {verb} {control['words']}, {where}, by {points}, {cost}."


def _same_sets(control: Finding) -> str:
    """How often both made the very same set, for a sentence; empty where never."""
    same, of = control["same_sets"], control["pairs"]
    return f"the same set in {same} of {of}" if same else ""


def _cost(ours_s: float, theirs_s: float) -> str:
    ratio = ours_s / max(theirs_s, 1e-9)
    if 1 / _SAME_COST < ratio < _SAME_COST:
        return "at about the same CPU seconds"
    return (
        f"at {ratio:,.0f} times the CPU seconds" if ratio >= 10 else f"at {ratio:.1f} times the CPU seconds"
    )


def claims_sentence(found: Finding) -> str:
    """The reward-hacking check in a sentence."""
    if not found["sets"]:
        return "Reward hacking: no set claims a reward."
    gap, allowed = 100 * found["largest_gap"], 100 * found["allowed"]
    verdict = (
        "rewards are what the protocol measures"
        if found["kept"]
        else "a reward is not what the protocol measures"
    )
    return (
        f"Reward hacking: what training claims of a set and what the protocol's probe finds of it on the "
        f"reward half differ by at most {gap:.2f} points ({counted(found['sets'], 'set')}, allowed are less "
        f"than {allowed:.1f}): {verdict}."
    )


def answer(panels: Sequence[Finding], dataset: str) -> str:
    """Does RL help? In a sentence or two for each question."""
    told = []
    for name in dict.fromkeys(panel["question"] for panel in panels):
        own = [panel for panel in panels if panel["question"] == name]
        verdicts = [
            # A control that made the sets of another one is no second control.
            [
                row["rl_minus_this"][deciding_part(panel)]["verdict"]
                for row in panel["rows"][1:]
                if row["same_as"] is None
            ]
            for panel in own
        ]
        everywhere = [
            panel_words(panel) for panel, found in zip(own, verdicts, strict=True) if set(found) == {"better"}
        ]
        flat = [verdict for found in verdicts for verdict in found]
        better, worse = flat.count("better"), flat.count("worse")
        if len(everywhere) == len(own):
            opening = "RL helps"
        elif everywhere:
            opening = f"RL helps at {' and at '.join(everywhere)} alone"
        elif better and not worse:
            opening = "RL is not shown to help beyond its best control"
        elif better:
            opening = "RL does not help beyond its best control"
        elif worse:
            opening = "RL does worse" if worse == len(flat) else "RL does not help"
        else:
            opening = "RL is not shown to help"
        again = sum(row["same_as"] is not None for panel in own for row in panel["rows"][1:])
        left_out = f" ({counted(again, 'row')} with another control's sets left out)" if again else ""
        told.append(
            f"{opening} on {dataset}: {QUESTIONS[name].method} is better than its control in {better} of "
            f"{counted(len(flat), 'comparison')}{left_out}, worse in {worse}, and no difference is found in "
            f"{len(flat) - better - worse}.{_resolution(own)}"
        )
    return "\n".join(told)


def _resolution(panels: Sequence[Finding]) -> str:
    """What could have been seen: a difference below an interval's half-width is found only by luck.

    Of sets that are the same there is no difference to be seen.
    """
    halves = [
        (found["high"] - found["low"]) / 2
        for panel in panels
        for row in panel["rows"][1:]
        if (found := row["rl_minus_this"][deciding_part(panel)])["verdict"] == "no difference found"
        and row["same_sets"] < row["pairs"]
    ]
    if not halves:
        return ""
    least, most = (f"{100 * end:.1f}" for end in (min(halves), max(halves)))
    span = f"about {most} points" if least == most else f"{least} to {most} points, depending on the control,"
    return f" Differences under {span} could not be told here."


def _difference(found: Finding) -> Difference:
    return Difference(found["mean"], found["low"], found["high"])


def _percent(found: Finding) -> str:
    if found["high"] is None:
        return f"{100 * found['mean']:.1f}"
    return str(Estimate(**found)).partition(" (")[0]

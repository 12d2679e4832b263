"""Two scores at once: the trials that no other betters in both, and how much of what is possible they cover.

The hypervolume is a share of the unit square. Each score is measured on the way from its reference to its
ideal value, both of which follow from the data alone: sweeps over the same latents can be compared, whatever
they tried. (Zitzler & Thiele, "Multiobjective evolutionary algorithms: a comparative case study and the
strength Pareto approach", 1999, where it is the size of the space covered.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tune_dd.sweeps.axes import Axis
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.settings import Cell, SweepConfig

if TYPE_CHECKING:  # imports Ray
    from tune_dd.sweeps.kind import Kind

Member = TypeVar("Member")
Point = tuple[float, float]


def front(records: Iterable[TrialRecord], cell: Cell, config: SweepConfig) -> list[TrialRecord]:
    """A cell's completed trials that no other equals in one score and betters in the other, nor in both.

    The best in the first score comes first. Of trials with the same two scores one is there: the better by
    the score that ranks equals elsewhere, then the earlier.
    """
    axes, other = config.axes, config.TIE_BREAKS[config.metric]
    assert axes is not None

    def worths(record: TrialRecord) -> Point:
        first, second = (axis.worth(record.scores[axis.metric]) for axis in axes)
        return first, second

    own = [record for record in records if record.cell == cell and record.status == "completed"]
    own.sort(key=lambda record: (*(-worth for worth in worths(record)), -record.scores.get(other, 0.0),
                                 record.trial_id))  # fmt: skip
    members: list[TrialRecord] = []
    for record in own:
        if not members or worths(record)[1] > worths(members[-1])[1]:
            members.append(record)
    return members


def hypervolume(points: Iterable[Point]) -> float:
    """The share of the unit square in which each place is bettered, or reached, by a point in both ways.

    Args:
        points: in [0, 1] each, more is better.
    """
    area = reached = 0.0
    for first, second in sorted(points, reverse=True):
        if second > reached:
            area += first * (second - reached)
            reached = second
    return area


def spread(members: Sequence[Member], most: int) -> list[Member]:
    """At most so many of a front in order, its ends among them; of one alone the first."""
    if len(members) <= most:
        return list(members)
    places = [round(number * (len(members) - 1) / max(most - 1, 1)) for number in range(most)]
    return [members[place] for place in places]


def pareto_entry(kind: Kind[Any], records: Iterable[TrialRecord], cell: Cell) -> dict[str, Any]:
    """A cell's front as ``sweep_summary.json`` holds it.

    Returns:
        ``axes``, each a score with its reference and ideal value; ``front``, trials with both scores;
        ``hypervolume``; ``trials``, how many have ended; and ``reached_after``, how many of them, in the
        order in which they were proposed, it took to cover as much.
    """
    config = kind.config
    axes: tuple[Axis, Axis] = config.axes
    bounds = kind.bounds(cell)
    own = [record for record in records if record.cell == cell and record.status is not None]
    own.sort(key=lambda record: record.trial_id)

    def covered(some: Iterable[TrialRecord]) -> float:
        return hypervolume(
            (axes[0].share(record.scores[axes[0].metric], *bounds[0]),
             axes[1].share(record.scores[axes[1].metric], *bounds[1]))
            for record in some
        )  # fmt: skip

    members = front(own, cell, config)
    whole, reached_after, so_far = covered(members), 0, list[TrialRecord]()
    for number, record in enumerate(own, 1):
        so_far = front([*so_far, record], cell, config)
        if covered(so_far) >= whole:
            reached_after = number if so_far else 0
            break
    return {
        "axes": [_axis_entry(axis, *bound) for axis, bound in zip(axes, bounds, strict=True)],
        "front": [
            {"trial_id": record.trial_id, **{axis.metric: record.scores[axis.metric] for axis in axes}}
            for record in members
        ],
        "hypervolume": whole,
        "reached_after": reached_after,
        "trials": len(own),
    }


def _axis_entry(axis: Axis, reference: float, ideal: float) -> Mapping[str, Any]:
    return {
        "score": axis.metric,
        "better": "higher" if axis.higher else "lower",
        "scale": "logarithmic" if axis.logarithmic else "linear",
        "reference": reference,
        "ideal": ideal,
    }

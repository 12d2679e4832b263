"""``tune-dd validate``: what fresh learners make of a distilled environment, anybody's."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.environment.choices import FAMILIES, FAMILIES_TOLD, MODULE, check_family
from trainables.errors import InputError
from tune_dd.flags import FlagParser, main_guard, parser
from tune_dd.threads import check_threads

if TYPE_CHECKING:  # torch takes a second to import: only once the flags are known to be good
    from trainables.environment.distilled_set import DistilledSet
    from trainables.environment.tasks import Task

MODES = ("sampled", "greedy")
_ALL = "all"
_LEGEND = """\
Return of an episode, averaged over each learner's episodes: mean and standard deviation over learners,
and the mean's standard error; least: the mean of the worst learner; n: learners. Steps: gradient steps on
the set; untrained learners take none."""
MOST = 100_000
"""Learners, and episodes of each: more than that would not end."""


def build_parser() -> FlagParser:
    """The flags of ``tune-dd validate``."""
    made = parser(
        "tune-dd validate",
        "Train fresh learners on a distilled set, ours or one of the method's authors (.pt, .ckpt), and "
        "tell what returns they reach in the task it was made for.",
    )
    made.add_word("file", "the distilled set")
    made.add_flag(
        "--env", str, "the task (must be given): CartPole-v1, CartPole<N>D-v1, Hopper-v4, Pong, ...",
        metavar="ID",
    )  # fmt: skip
    made.add_flag("--encoder", str, "the set's encoder, where it has a file of its own", metavar="FILE")
    made.add_flag("--learners", int, "fresh learners of each family", default=100, at_least=1, at_most=MOST)
    made.add_flag("--episodes", int, "episodes of each learner", default=5, at_least=1, at_most=MOST)
    made.add_flag(
        "--families", str,
        f"learners, set apart by spaces: {FAMILIES_TOLD}, a network of your own as {MODULE}; all: every one "
        "of ours that fits the task",
        default=("same",), many=True,
    )  # fmt: skip
    made.add_flag("--modes", str, "how they act", default=MODES, many=True, choices=MODES)
    made.add_flag(
        "--inner-steps", int, "gradient steps on the set (default: what it was made for)",
        many=True, at_least=1,
    )  # fmt: skip
    made.add_flag("--seed", int, "of initialisations, episodes and actions", default=0, at_least=0)
    made.add_flag("--threads", int, "threads of PyTorch", default=1, at_least=1)
    made.add_flag("--json", str, "write the rows to a new file", metavar="FILE")
    made.add_flag("--plot", str, "draw the learners' mean returns as a new PNG", metavar="FILE")
    made.add_flag(
        "--gif",
        str,
        "film the best and the median learner of the first family and mode as a new GIF",
        metavar="FILE",
    )
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)
    if flags["env"] is None:
        raise InputError(
            "--env is not given", "a set does not say what task it is for", "name it: --env CartPole-v1"
        )
    check_threads(flags["threads"])
    for family in flags["families"]:
        if family != _ALL:
            check_family(family)

    from tune_dd.environments.new_files import new_file

    table_file, plot_file, film_file = (
        new_file(f"--{name}", flags[name], ending)
        for name, ending in (("json", ".json"), ("plot", ".png"), ("gif", ".gif"))
    )

    import torch

    from trainables.environment.distilled_set import load_distilled_set
    from trainables.environment.tasks import open_task
    from trainables.environment.validation import validate
    from tune_dd.environments.validation_rows import Row, content, table
    from tune_dd.runs.folder import write_json

    torch.set_num_threads(flags["threads"])
    file = Path(flags["file"])
    encoder = Path(flags["encoder"]) if flags["encoder"] else None
    distilled = load_distilled_set(file.expanduser(), encoder.expanduser() if encoder else None)
    task = open_task(flags["env"])
    distilled.check_fits(task, str(file))
    families = _fitting(flags["families"], task, distilled.level)
    modes = tuple(dict.fromkeys(flags["modes"]))
    steps = tuple(dict.fromkeys(flags["inner_steps"] or (distilled.inner_steps,)))
    if film_file:
        from tune_dd.environments.film import check_films

        check_films(task)
    print(_description(distilled, task, file))
    episodes = "1 episode" if flags["episodes"] == 1 else f"{flags['episodes']} episodes"
    print(f"learners  {flags['learners']} fresh ones, {episodes} each, seed {flags['seed']}\n", flush=True)

    settings = [(families[0], modes[0], 0)]  # untrained
    settings += [(family, mode, number) for family in families for number in steps for mode in modes]
    rows: list[Row] = []
    for family, mode, number in settings:
        started_s = time.monotonic()
        returns = validate(
            distilled, task, flags["learners"], flags["episodes"],
            family=family, greedy=mode == "greedy", inner_steps=number, seed=flags["seed"],
        )  # fmt: skip
        rows.append(Row(family, mode, number, returns))
        passed_s = time.monotonic() - started_s
        print(f"  {len(rows)} of {len(settings)}  {rows[-1]}  ({passed_s:.1f} s)", flush=True)
    print(f"\n{table(rows)}\n\n{_LEGEND}")

    if table_file:
        write_json(table_file, content(rows, distilled, task.env_id, file, encoder, flags))
    if plot_file:
        from tune_dd.environments.boxes import draw_boxes

        draw_boxes(plot_file, rows, f"{task.env_id}: fresh learners trained on {file.name}")
    if film_file:
        from tune_dd.environments.film import film_learners

        film_learners(film_file, distilled, task, rows[1], flags["seed"], file.name)
    for path in (table_file, plot_file, film_file):
        if path:
            print(f"written: {path}")
    return 0


def _fitting(asked: Sequence[str], task: Task, level: str) -> tuple[str, ...]:
    """The families to judge by, each once.

    Raises:
        InputError: for one that was named and does not fit the task.
    """
    from trainables.environment.families import learners

    fitting = []
    named = (family for family in asked if family != _ALL)
    for family in dict.fromkeys((*FAMILIES, *named) if _ALL in asked else named):
        try:
            learners(family, task, level)
        except InputError as error:
            if family in asked:
                raise
            print(f"left out: {error.value}")
            continue
        fitting.append(family)
    return tuple(fitting)


def _description(distilled: DistilledSet, task: Task, file: Path) -> str:
    also = [f"encoder {distilled.level}"] if distilled.encoder else []
    also += ["observations normalised"] if distilled.mean is not None else []
    also += [f"made for {distilled.inner_steps} steps"] if distilled.inner_steps > 1 else []
    also += [f"loss {distilled.loss}"] if distilled.loss != "mse" else []
    states = f"{len(distilled.x)} states, inner learning rate {float(distilled.inner_lr):.4g}"
    return f"set       {', '.join([f'{file}: {states}', *also])}\ntask      {task.env_id}"


if __name__ == "__main__":
    sys.exit(main())

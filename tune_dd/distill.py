"""``tune-dd distill``: one configuration from images to pictures, in this process, without Ray."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.latent.config import PARTS, DataConfig, EncoderConfig, LatentConfig
from trainables.latent.distill_config import METHODS, DistillConfig
from trainables.latent.shaping.idle import refuse_idle
from trainables.schema import flag_name
from trainables.whole_files import sha256_if_readable
from tune_dd.flags import FlagParser, Flags, add_config, main_guard, parser
from tune_dd.runs.folder import check_writable, refuse_existing, run_path
from tune_dd.runs.places import refuse_bucket
from tune_dd.runs.score_table import score_tables
from tune_dd.sweeps.plurals import counted
from tune_dd.threads import check_threads

if TYPE_CHECKING:  # torch takes a second to import: only once the flags are known to be good
    from tune_dd.runs.scored_sets import ScoredSet

# Lines of a method's progress where they cannot overwrite each other.
_PROGRESS_LINES = 4


def build_parser() -> FlagParser:
    """The flags of ``tune-dd distill``."""
    made = parser(
        "tune-dd distill",
        "Distil one configuration: train or reuse the encoder, score the controls, learn prototypes, and "
        "write results/<name>/<dataset>/<backbone>/<run>/. For reinforcement-learning tasks see "
        "tune-dd distill environment --help.",
        siblings=_siblings,
    )
    made.add_flag("--methods", str, "how to learn", default=("implicit",), many=True, choices=METHODS)
    made.add_flag("--name", str, "folder of runs that belong together", default="runs")
    made.add_flag("--run-name", str, "this run's folder (default: methods, prototypes per class and seed)")
    made.add_flag("--storage", str, "folder of all results", default="results", metavar="DIR")
    made.add_flag("--cache", str, "folder of encoders and latents (default: the user's cache)", metavar="DIR")
    made.add_flag("--encoder-seed", int, "seed of the encoder (default: that of --seed)", at_least=0)
    add_config(made, DataConfig)
    add_config(made, EncoderConfig, skip=["encoder_seed"])
    add_config(made, DistillConfig, skip=["method"])
    return made


def _siblings() -> list[FlagParser]:
    from tune_dd.environments import distill

    return [distill.build_parser()]


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run one distillation; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["environment"]:
        from tune_dd.environments.distill import distill_environment

        return distill_environment(words[1:])
    flags = build_parser().parse(words)
    methods = tuple(dict.fromkeys(flags["methods"]))
    config = parse_config(flags, methods)
    check_threads(config.distill.threads)
    check_threads(config.encoder.encoder_threads or 1, "--encoder-threads")
    refuse_bucket("--storage", flags["storage"])
    run = flags["run_name"] or default_run_name(config, methods)
    folder = run_path(
        Path(flags["storage"]), flags["name"], config.data.dataset, config.encoder.backbone, run
    )
    refuse_existing(folder)
    check_writable("--storage", Path(flags["storage"]))
    print(describe(config, methods), flush=True)

    import torch

    from trainables.latent.cache import default_cache
    from trainables.latent.latents import prepare_latents
    from trainables.latent.real_images import load_real_images
    from trainables.latent.shaping.schedules import read_schedule
    from tune_dd.runs.outputs import write_run
    from tune_dd.runs.scored_sets import learn_set, score_controls
    from tune_dd.sweeps.latent.preflight import check_test_place

    started_s = time.monotonic()
    cache = Path(flags["cache"]).expanduser().absolute() if flags["cache"] else default_cache()
    budget = config.distill.sel_budget_per_class
    check_test_place(config.data)
    if config.distill.shape_schedule is not None:
        # Before an encoder is trained for nothing.
        schedule = read_schedule(Path(config.distill.shape_schedule), config.distill.shape_schedule_sha256)
        schedule.check(config.distill, has_decoder=config.encoder.backbone != "identity")
    real = load_real_images(config.data, cache, _report)
    real.refuse_more("--m-per-class", config.distill.m_per_class)
    real.refuse_more("--sel-budget-per-class", budget or 1)
    data = prepare_latents(config.data, config.encoder, cache, _report)

    torch.set_num_threads(config.distill.threads)
    print("\ncontrols", flush=True)
    sets = score_controls(data, config.distill.m_per_class, config.distill.seed, (budget,) if budget else ())
    for method in methods:
        print(f"\nlearning: {method}", flush=True)
        sets[method] = learn_set(config.distill, method, data, _Progress())
    print("\n" + tables(sets, methods, config.distill.labels), flush=True)
    for method in methods:
        if note := sets[method].note:
            print(f"\n{method}: {note}", flush=True)

    wall_s = time.monotonic() - started_s
    write_run(folder, config, methods, data, sets, real, wall_s, _report)
    print(f"\n{_shortest(folder)}")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name}")
    print(f"\nnext, the settings searched for: {next_command(flags, config)}")
    return 0


def parse_config(flags: Flags, methods: Sequence[str]) -> LatentConfig:
    """The configuration of the first method's run; ``--seed`` is the encoder's too unless one is given.

    Raises:
        InputError: for settings that do not go together, with any of the methods.
    """
    flat = flags.given_for(*PARTS)
    flat.setdefault("encoder_seed", flat.get("seed", DistillConfig.seed))
    if "shape_schedule" in flat:
        flat.setdefault("shape_schedule_sha256", sha256_if_readable(Path(flat["shape_schedule"])))
    if "shape_schedule" in flat:
        refuse_idle(flat, methods)
    for other in methods[1:]:
        LatentConfig.parse({**flat, "method": other})
    return LatentConfig.parse({**flat, "method": methods[0]})


def default_run_name(config: LatentConfig, methods: Sequence[str]) -> str:
    """Short, and different where the settings tried most often are."""
    distill = config.distill
    parts = ["+".join(methods), f"m{distill.m_per_class}"]
    if distill.labels != "hard":
        parts.insert(1, distill.labels)
    if distill.sel_budget_per_class and "rl_selection" in methods:
        parts.append(f"b{distill.sel_budget_per_class}")
    if distill.roundtrip_weight > 0:
        parts.append(f"rt{distill.roundtrip_weight:g}")
    return "-".join([*parts, f"s{distill.seed}"])


def next_command(flags: Flags, config: LatentConfig) -> str:
    """A sweep over the same data with the same encoder and kind of labels."""
    words = ["tune-dd", "search", "--datasets", config.data.dataset, "--backbones", config.encoder.backbone]
    if config.distill.labels != DistillConfig.labels:
        words += ["--labels", config.distill.labels]
    own = ("dataset", "backbone", "encoder_seed")
    passed_on = {**flags.given_for(DataConfig, EncoderConfig)}
    passed_on |= {name: flags.given[name] for name in ("storage", "cache") if name in flags.given}
    for name, value in passed_on.items():
        if name in own:
            continue
        if isinstance(value, bool):
            words.append(flag_name(name if value else f"no_{name}"))
        else:
            words += [flag_name(name), str(value)]
    return shlex.join(words)


def describe(config: LatentConfig, methods: Sequence[str]) -> str:
    """What is about to run, one line a part; then every setting that differs from its default."""
    data, encoder, distill = config.data, config.encoder, config.distill
    default = LatentConfig().flat() | {"dataset": data.dataset, "backbone": encoder.backbone}
    told = {"method", "labels", "m_per_class", "proto_steps_base", "seed", "encoder_seed", "init"}
    told |= {"sel_budget_per_class", "sel_evaluations", "sel_policy", "sel_init"}
    told |= {"shape_episodes", "shape_decisions", "shape_steps", "shape_schedule", "shape_schedule_sha256"}
    changed = {k: v for k, v in config.flat().items() if v != default[k] and k not in told}
    learning = [method for method in methods if method != "rl_selection"]
    lines = [
        f"data      {data.dataset}, split {data.split_seed}",
        f"encoder   {encoder.backbone}, seed {encoder.encoder_seed}",
    ]
    if learning:
        lines.append(
            f"distil    {', '.join(learning)}: {distill.m_per_class} per class, {distill.labels} labels, "
            f"{counted(distill.proto_steps_base, 'step')} from {distill.init}, seed {distill.seed}"
        )
    if "rl_shaping" in methods:
        what = counted(distill.shape_episodes, "episode")
        if distill.shape_schedule is not None:
            what = f"the schedule {distill.shape_schedule}"
        lines.append(
            f"shape     rl_shaping: {what} of {counted(distill.shape_decisions, 'decision')}, each for "
            f"{counted(distill.shape_steps, 'step')}"
        )
    if "rl_selection" in methods:
        lines.append(
            f"select    rl_selection: {distill.selection_budget} real points per class, "
            f"{distill.sel_policy} policy, {counted(distill.sel_evaluations, 'reward evaluation')} from "
            f"{distill.sel_init}, seed {distill.seed}"
        )
    if changed:
        lines.append("also      " + ", ".join(f"{key} {value}" for key, value in changed.items()))
    return "\n".join(lines)


def tables(sets: dict[str, ScoredSet], learned: Sequence[str], labels: str) -> str:
    """Scores of the hard-label and the soft-label track, controls first."""
    tracks: dict[str, dict[str, dict[str, float]]] = {"hard labels": {}, "soft labels": {}}
    for name, scored in sets.items():
        own = name in learned
        track = labels if own else scored.track
        shown = f"learned: {name}" if own else name
        tracks[f"{track} labels"][shown] = scored.row
    return score_tables(tracks)


class _Progress:
    """A method's progress: one line that rewrites itself on a terminal, a few lines in a log."""

    def __init__(self) -> None:
        self.in_place = sys.stdout.isatty()

    def __call__(self, iteration: int, iterations: int, scores: dict[str, float]) -> None:
        last = iteration >= iterations or bool(scores["diverged"])
        steps, probe = scores["steps"], 100 * scores["probe_accuracy"]
        where = f"step {steps:.0f}"
        for counted_by, noun in (("reward_evaluations", "reward evaluation"), ("episodes", "episode")):
            if counted_by in scores:
                where = f"{noun} {scores[counted_by]:.0f}"
        line = f"  {where}  loss {scores['loss']:.4f}  probe {probe:.1f}"
        if self.in_place:
            print(f"\r\x1b[K{line}", end="\n" if last else "", flush=True)
        elif last or iteration % max(1, iterations // _PROGRESS_LINES) == 0:
            print(line, flush=True)


def _report(line: str) -> None:
    print(f"  {line}", flush=True)


def _shortest(path: Path) -> Path:
    """Relative to where the user stands, if it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    raise SystemExit(main())

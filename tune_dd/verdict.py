"""``tune-dd verdict``: does RL help? Its methods beside controls that may spend as much, on test data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig, LatentConfig
from trainables.schema import refuse_repeated
from tune_dd.flags import INTERRUPTED, FlagParser, Flags, add_config, main_guard, parser
from tune_dd.verdicts.questions import QUESTIONS

if TYPE_CHECKING:  # torch takes a second to import: only once the flags are known to be good
    from tune_dd.verdicts.plan import Plan

_ENCODERS = 3


def build_parser() -> FlagParser:
    """The flags of ``tune-dd verdict``."""
    made = parser(
        "tune-dd verdict",
        "Does RL help? Make sets by an RL method and by its controls, all with as many rewards, on several "
        "seeds and encoders, freeze them, then read test once and say who is better. The same command goes "
        "on where it was stopped.",
    )
    made.add_flag(
        "--questions",
        str,
        "which RL methods stand trial (default: all that the data allow; shaping needs images)",
        many=True,
        choices=tuple(QUESTIONS),
    )
    usual = ", ".join(f"{' '.join(map(str, q.budgets))} for {q.name}" for q in QUESTIONS.values())
    made.add_flag("--budgets", int, f"points per class (default: {usual})", many=True, at_least=1)
    made.add_flag("--seeds", int, "distillation seeds on each encoder", default=5, at_least=1)
    made.add_flag(
        "--encoder-seeds",
        int,
        f"encoders, trained where they are not cached (default: {_ENCODERS}; features have one)",
        at_least=1,
    )
    for question in QUESTIONS.values():
        made.add_flag(
            question.flag,
            int,
            f"{question.counted}s of each contender of the question {question.name} that asks for any",
            default=question.count,
            at_least=1,
        )
    made.add_flag(
        "--cross-encoder-seed",
        int,
        "the encoder that distillation never sees, for questions that are answered by one",
        default=100,
        at_least=0,
    )
    made.add_flag("--test", bool, "read test after everything is frozen", default=True)
    made.add_flag("--workers", int, "sets made at a time, each on a CPU (default: all CPUs)", at_least=1)
    made.add_flag("--name", str, "folder of the verdict in STORAGE/verdicts", default="verdict")
    made.add_flag("--storage", str, "folder of all results", default="results", metavar="DIR")
    made.add_flag("--cache", str, "folder of encoders and latents (default: the user's cache)", metavar="DIR")
    add_config(made, DataConfig)
    add_config(made, EncoderConfig, skip=["encoder_seed"])
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)
    config = LatentConfig.parse(flags.given_for(DataConfig, EncoderConfig))

    from trainables.latent.cache import default_cache
    from tune_dd.runs.folder import check_name, check_writable
    from tune_dd.runs.places import refuse_bucket
    from tune_dd.sweeps.latent.preflight import check_test_place
    from tune_dd.sweeps.live_display import LiveDisplay
    from tune_dd.threads import check_threads
    from tune_dd.verdicts.session import Session, reach_verdict

    check_name("--name", flags["name"])
    check_threads(config.encoder.encoder_threads or 1, "--encoder-threads")
    check_test_place(config.data)
    plan = _plan(flags, config)
    refuse_bucket("--storage", flags["storage"])
    folder = Path(flags["storage"]).expanduser().absolute() / "verdicts" / flags["name"]
    check_writable("--storage", folder)
    cache = Path(flags["cache"]).expanduser().absolute() if flags["cache"] else default_cache()
    check_writable("--cache", cache)
    try:
        return reach_verdict(Session(plan, folder, cache, flags["workers"], flags["test"], LiveDisplay()))
    except KeyboardInterrupt:
        print("\ntune-dd verdict: interrupted: the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED


def _plan(flags: Flags, config: LatentConfig) -> Plan:
    from tune_dd.verdicts.plan import Plan

    for flag in ("questions", "budgets"):
        refuse_repeated(f"--{flag}", flags[flag] or ())
    only = config.data.dataset == "features"
    usual = [name for name, question in QUESTIONS.items() if not (only and question.needs_images)]
    questions = tuple(flags["questions"] or usual)
    plan = Plan(
        data=config.data,
        encoder=config.encoder,
        questions=questions,
        budgets=tuple(flags["budgets"]) if flags["budgets"] else None,
        seeds=tuple(range(flags["seeds"])),
        encoder_seeds=tuple(range(flags["encoder_seeds"] or (1 if only else _ENCODERS))),
        counts={name: flags[QUESTIONS[name].count_name] for name in questions},
        cross_encoder_seed=flags["cross_encoder_seed"],
    )
    for name, question in QUESTIONS.items():
        if name not in questions and question.count_name in flags.given:
            raise InputError(
                f"{question.flag} is {flags[question.count_name]} with --questions {' '.join(questions)}",
                f"the question {name} alone reads it",
                "leave it out",
            )
    if "cross_encoder_seed" in flags.given and not plan.reads_other_encoder:
        raise InputError(
            f"--cross-encoder-seed is {plan.cross_encoder_seed} with --questions {' '.join(questions)}",
            "no question of these is answered by another encoder",
            "leave it out",
        )
    return plan


if __name__ == "__main__":
    sys.exit(main())

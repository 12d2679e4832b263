"""The command ``tune-dd VERB``: finds the verb's module and hands the rest of the line to it.

A verb is imported only when it is asked for, so that ``tune-dd --help`` answers without torch or Ray.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from tune_dd import __version__

VERBS = {
    "search": "sweep configurations with Optuna and ASHA; resume, extend or price a sweep",
    "distill": "one configuration, start to end, with pictures",
    "evaluate": "a sweep's best configurations again on fresh seeds, then on test data",
    "reproduce": "one trial of a sweep again, alone",
    "report": "a sweep as one page: what it found, what mattered, every trial",
    "verdict": "whether reinforcement learning helps, beside controls of equal cost, on test data",
    "check": "what would go wrong on a cluster, before money is spent on it",
    "validate": "what fresh learners make of a distilled environment",
    "use": "what a distilled set is; and the same set for other programs",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The verb's exit code; 2 where there is no such verb.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0 if words else 2
    verb, rest = words[0], words[1:]
    if verb == "--version":
        print(f"tune-dd {__version__}")
        return 0
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
        remedy = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(VERBS)}."
        print(f"tune-dd: {verb} is not a command: {remedy}", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"tune_dd.{verb}").main(rest)
    return code


def _help() -> str:
    lines = [f"  {verb:<11}{what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: tune-dd COMMAND [flags]",
            "",
            "Dataset distillation and its hyperparameter sweeps.",
            "",
            *lines,
            "",
            "tune-dd COMMAND --help shows the flags of one; tune-dd --version the version.",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())

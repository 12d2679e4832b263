"""Methods and controls on one dataset: the README's table of latent distillation.

    python benchmarks/latent_methods.py --dataset digits
    python benchmarks/latent_methods.py --dataset custom --custom-train-dir DIR

Prints, for each number of prototypes per class, test accuracy over five seeds with intervals, round
trip, and CPU seconds of optimisation (median over seeds). Test is read once per row; a second call with
the same --out shows the same figures again without reading it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig, EncoderConfig, LatentConfig
from trainables.latent.distill_config import METHODS
from tune_dd.evaluation.cells import Candidate, CellPlan, evaluate_cell
from tune_dd.evaluation.table import evaluation_table
from tune_dd.flags import add_config, main_guard, parser
from tune_dd.runs.folder import versions, write_json

CYCLE = {"roundtrip_weight": 0.5}


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("latent_methods", "Compare all methods and controls.")
    add_config(flags, DataConfig)
    add_config(flags, EncoderConfig)
    flags.add_flag("--m-per-class", int, "prototypes per class", default=(1, 10), many=True, at_least=1)
    flags.add_flag("--n-seeds", int, "seeds per row", default=5, at_least=1)
    flags.add_flag("--out", str, "folder of the figures", default="results/benchmark-latent-methods")
    flags.add_flag("--cache", str, "folder of encoders", default=str(default_cache()))
    given = flags.parse(argv)
    out = Path(given["out"])
    out.mkdir(parents=True, exist_ok=True)
    shared = given.given_for(DataConfig, EncoderConfig)
    cells = []
    for m in given["m_per_class"]:
        plain: list[tuple[str, dict[str, Any]]] = [("defaults", {"method": method}) for method in METHODS]
        cyclic = [("cycle term 0.5", {"method": method, **CYCLE}) for method in ("implicit", "rl_shaping")]
        variants = [*plain, *cyclic]
        candidates = [
            Candidate(name, LatentConfig.parse({**shared, **settings, "m_per_class": m, "threads": 1}))
            for name, settings in variants
        ]
        plan = CellPlan(f"{m} per class", tuple(candidates), "probe_accuracy", (), ())
        cells.append(evaluate_cell(plan, out, Path(given["cache"]), given["n_seeds"], 1, True, _progress))
        print(evaluation_table(cells[-1]) + "\n", flush=True)
    write_json(out / "latent_methods.json", json.loads(json.dumps({"cells": cells, "versions": versions()})))
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

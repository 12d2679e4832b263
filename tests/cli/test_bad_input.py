"""Input that cannot be used: one line with value, rule and remedy, exit code 2, and nothing left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli import broken_data
from tests.cli.broken_data import Make
from tune_dd import cli

CUSTOM = "--dataset custom --custom-train-dir images --ae-epochs 1"
FEATURES = "--dataset features --features-train features.npz"


@dataclass(frozen=True)
class Case:
    """A command line, what its complaint must contain, and the files it finds."""

    words: str
    says: str  # a regular expression
    make: Make | None = None


DISTILL = [
    Case("--dataset digit", "--dataset is 'digit'.*did you mean 'digits'"),
    Case("--backbone resnet", "--backbone is 'resnet'.*did you mean 'resnet18'"),
    Case("--methods implict", "--methods is 'implict'.*did you mean 'implicit'"),
    Case("--m-per-clas 3", "--m-per-clas is not a flag of this command: did you mean --m-per-class"),
    Case("--labels", "--labels is given without a value"),
    Case("digits", "'digits' is one word too many"),
    Case("--m-per-class 0", "--m-per-class is 0.*at least 1"),
    Case("--m-per-class -3", "--m-per-class is -3.*at least 1"),
    Case("--m-per-class 2.5", "--m-per-class is '2.5'.*whole number"),
    Case("--ae-epochs 0", "--ae-epochs is 0.*at least 1"),
    Case("--latent-dim 1", "--latent-dim is 1.*at least 2"),
    Case("--lr nan", "--lr is nan.*finite"),
    Case("--ae-lr inf", "--ae-lr is inf.*finite"),
    Case("--lr -0.1", "--lr is -0.1.*greater than 0"),
    Case("--val-fraction 0.9", "--val-fraction is 0.9.*at most 0.5"),
    Case("--val-fraction 0.001", "class.*part.*--val-fraction"),
    Case("--weights default", "--weights is 'default'.*conv"),
    Case("--backbone resnet18 --training frozen", "--training is frozen"),
    Case("--backbone resnet18 --weights gone.pt", "gone.pt"),
    Case("--backbone resnet18 --weights weights.pt", "weights.pt", broken_data.foreign_weights),
    Case("--device cuda:99", "--device is 'cuda:99'"),
    Case("--device abacus", "--device is 'abacus'"),
    Case("--dataset cifar10 --no-download --data-root gone", "cifar10.*gone"),
    Case("--m-per-class 500", "--m-per-class is 500.*smallest class.*at most"),
    Case("--sel-budget-per-class 500", "--sel-budget-per-class is 500.*smallest class"),
    Case("--dataset custom", "--custom-train-dir is not given"),
    Case(
        "--custom-train-dir images", "--custom-train-dir is given with --dataset digits", broken_data.images
    ),
    Case("--custom-test-dir images", "--custom-test-dir is given with --dataset digits"),
    Case("--override-image-size 16", "--override-image-size is given with --dataset digits"),
    Case(f"{CUSTOM} --features-train f.npz", "--features-train is given with --dataset custom"),
    Case("--dataset cifar10 --features-test f.npz", "--features-test is given with --dataset cifar10"),
    Case(CUSTOM, "images cannot be read.*No such file"),
    Case(CUSTOM, "images", broken_data.empty_folder),
    Case(CUSTOM, "emu", broken_data.empty_class),
    Case(CUSTOM, "one class folder.*at least two", broken_data.one_class),
    Case(CUSTOM, "03.png", broken_data.corrupt_image),
    Case(f"{CUSTOM} --custom-test-dir test", "fox|dog", broken_data.other_test_classes),
    Case(f"{CUSTOM} --custom-test-dir gone", "gone", broken_data.images),
    Case(CUSTOM, "4.*8", broken_data.tiny_images),
    Case(f"{CUSTOM} --override-image-size 4", "--override-image-size is 4.*at least 8", broken_data.images),
    Case(CUSTOM, "class.*part|items", broken_data.few_images),
    Case("--dataset features", "--features-train is not given"),
    Case(FEATURES, "features.npz"),
    Case(FEATURES, "labels", broken_data.features_without_labels),
    Case(FEATURES, "finite", broken_data.features_not_finite),
    Case(FEATURES, "one class", broken_data.features_of_one_class),
    Case(FEATURES, "features.npz", broken_data.features_that_are_text),
    Case(FEATURES, "the features of .*features.npz have 1 column", broken_data.features_of_one_column),
    Case(f"{FEATURES} --backbone conv", "--backbone is conv", broken_data.features),
    Case(f"{FEATURES} --roundtrip-weight 1", "--roundtrip-weight is 1", broken_data.features),
    Case("--threads 4096", "--threads is 4096.*has [0-9]+ CPU"),
    Case("--encoder-threads 4096", "--encoder-threads is 4096.*has [0-9]+ CPU"),
    Case("--name a/b", "--name is 'a/b'"),
    Case("--name ..", "--name is '..'"),
    Case("--run-name ../x", "--run-name is '../x'"),
    Case("--storage /proc/1/x", "--storage is"),
    Case("--storage taken", "--storage is.*Not a directory", broken_data.a_file_as_storage),
    Case("", "exists already", broken_data.an_earlier_run),
]

SEARCH = [
    # Found out by the encoder, after the sweep's folder was made.
    Case("--device cuda:99", "--device is 'cuda:99'"),
    Case("--backbones conv resnet18 --weights gone.pt --ae-epochs 1", "gone.pt"),
    Case(
        "--datasets custom --custom-train-dir images --custom-test-dir images",
        "--custom-test-dir is .*images.*shares items with the training data",
        broken_data.images,
    ),
    Case(
        "--datasets custom --custom-train-dir images --custom-test-dir gone",
        "--custom-test-dir is .*gone.*nothing is there",
        broken_data.images,
    ),
    Case("--datasets digits cifar", "--datasets is 'cifar'.*did you mean 'cifar10'"),
    Case("--backbones con", "--backbones is 'con'.*did you mean 'conv'"),
    Case("--searcher tpee", "--searcher is 'tpee'.*did you mean 'tpe'"),
    Case("--objective accuracy", "--objective is 'accuracy'.*did you mean 'probe_accuracy'"),
    Case("--num-trails 3", "--num-trails is not a flag of this command: did you mean --num-trials"),
    Case("--num-trials 0", "--num-trials is 0.*at least 1"),
    Case("--num-trials -5", "--num-trials is -5.*at least 1"),
    Case("--time-budget-s 0", "--time-budget-s is 0.*greater than 0"),
    Case("--time-budget-s nan", "--time-budget-s is nan.*finite"),
    Case("--prototypes 1 0", "--prototypes is 0.*at least 1"),
    Case("--prototypes 1 500", "--prototypes is 500.*smallest class"),
    Case("--budgets 500", "--budgets is 500.*smallest class"),
    Case("--seeds 0 -1", "--seeds is -1.*at least 0"),
    Case("--lr -inf", "--lr is -inf.*finite"),
    Case("--encoder-threads 4096", "--encoder-threads is 4096.*has [0-9]+ CPU"),
    Case("--cpus-per-trial 4096", "--cpus-per-trial is 4096.*there are [0-9]+ CPUs"),
    Case("--gpus-per-trial 99", "--gpus-per-trial is 99.*there are [0-9]+ GPUs"),
    Case("--max-concurrent 4096", "--max-concurrent is 4096"),
    Case("--searcher grid --num-trials 3", "--num-trials is 3 with --searcher grid"),
    Case("--name a/b", "--name is 'a/b'"),
    Case("--name ..", "--name is '..'"),
    Case("--name old", "--name is old.*exists already", broken_data.an_old_folder),
    Case("--resume", "--resume is given without --name"),
    Case("--resume --name gone", "gone, where no sweep is"),
    Case("--resume --name old", "old, where no sweep is", broken_data.an_old_folder),
    Case("--resume --name old", "sweep.json is damaged", broken_data.a_damaged_sweep),
    Case("--warm-start gone", "gone, where no sweep is"),
    Case("--warm-start ../x", "--warm-start is '../x'"),
    Case("--storage /proc/1/x", "--storage is"),
    Case("--storage taken", "--storage is.*Not a directory", broken_data.a_file_as_storage),
    Case("--address nowhere", "--address is"),
    Case("--address 127.0.0.1:9", "--address is 127.0.0.1:9.*must answer"),
    Case("--datasets custom", "--custom-train-dir is not given"),
    Case("--datasets custom --custom-train-dir images", "images cannot be read"),
    Case("--datasets custom --custom-train-dir images", "03.png", broken_data.corrupt_image),
    Case("--datasets features --features-train features.npz", "finite", broken_data.features_not_finite),
    Case("--backbones resnet18 --weights gone.pt", "gone.pt"),
]
AFTER_A_SWEEP = [
    Case("", "RESULTS is missing"),
    Case("results/gone", "results/gone does not exist"),
    Case("results/ol", "results/ol does not exist.*did you mean 'old'", broken_data.an_old_folder),
    Case("results/old", "holds no sweep_summary.json", broken_data.an_old_folder),
    Case("results/old", "sweep_summary.json is damaged", broken_data.a_damaged_sweep),
    Case("results/old", "schema version", broken_data.a_sweep_of_the_future),
    Case("results/old", "holds no 'cells'.*--resume --name old", broken_data.a_summary_of_nothing),
    Case("results/old --cach x", "--cach is not a flag of this command: did you mean --cache"),
]
EVALUATE = [
    *AFTER_A_SWEEP,
    Case("results/old --top-k 0", "--top-k is 0.*at least 1"),
    Case("results/old --fresh-seeds many", "--fresh-seeds is 'many'.*whole number"),
]

CASES = [
    (verb, case)
    for verb, cases in (
        ("distill", DISTILL),
        ("search", SEARCH),
        ("evaluate", EVALUATE),
        ("reproduce", AFTER_A_SWEEP),
    )
    for case in cases
]


def files_below(here: Path) -> set[Path]:
    return set(here.rglob("*"))


@pytest.mark.parametrize(("verb", "case"), CASES, ids=[f"{verb} {case.words}" for verb, case in CASES])
def test_bad_input_gives_one_line_and_leaves_nothing(
    verb: str,
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if case.make is not None:
        case.make(tmp_path)
    before = files_below(tmp_path)
    try:
        code = cli.main([verb, *case.words.split()])
    except SystemExit as left:
        code = left.code
    err = capsys.readouterr().err
    assert code == 2
    assert re.fullmatch(rf"tune-dd {verb}: [^\n]*\n", err), err
    assert re.search(case.says, err), err
    assert files_below(tmp_path) == before


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 30
    assert len({(verb, case.words, case.make) for verb, case in CASES}) == len(CASES)


@pytest.mark.parametrize("verb", ["distill", "search"])
def test_storage_that_is_full_is_refused_at_the_start(
    verb: str, small_disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk("256k")
    assert cli.main([verb, "--storage", str(disk / "results")]) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(rf"tune-dd {verb}: --storage is {disk}/results[^\n]*No space left[^\n]*\n", err), err
    assert list(disk.iterdir()) == []

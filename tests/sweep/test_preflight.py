"""What is found out before a sweep starts: room for trials, every encoder, and nothing left by a dry run."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.errors import InputError
from trainables.latent.config import LatentConfig
from trainables.latent.latents import prepare_latents
from tune_dd.clusters.nodes import Node
from tune_dd.search import _config, build_parser
from tune_dd.sweeps.dry_run import dry_run
from tune_dd.sweeps.latent.preflight import check_data
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.preflight import trials_at_a_time
from tune_dd.sweeps.ray_session import Resources


def machine(cpus: int, gpus: int) -> Resources:
    return Resources((Node("here", cpus, gpus),))


def files(place: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in [place, *place.rglob("*")]}


@pytest.mark.parametrize(
    ("share", "gpus", "trials"),
    [(0.4, 2, 4), (0.5, 1, 2), (1 / 3, 1, 3), (0.1, 3, 30), (0.7, 4, 4), (1, 3, 3), (2, 4, 2), (2, 5, 2)],
)
def test_trials_are_packed_into_whole_gpus(share: float, gpus: int, trials: int) -> None:
    config = LatentSweep(name="x", gpus_per_trial=share)
    assert trials_at_a_time(config, machine(64, gpus)) == trials
    assert trials_at_a_time(config, machine(1, gpus)) == 1


@pytest.mark.parametrize(("share", "gpus"), [(1.5, 4), (3, 2), (0.5, 0), (1e-6, 1)])
def test_shares_that_no_gpu_has_are_refused(share: float, gpus: int) -> None:
    with pytest.raises(InputError, match="--gpus-per-trial is"):
        trials_at_a_time(LatentSweep(name="x", gpus_per_trial=share), machine(4, gpus))


def test_trials_are_packed_into_whole_nodes() -> None:
    nodes = Resources((Node("head", 0, 0, head=True), Node("one", 7, 1), Node("other", 3, 4)))
    assert trials_at_a_time(LatentSweep(name="x", address="auto", cpus_per_trial=2), nodes) == 3 + 1
    assert trials_at_a_time(LatentSweep(name="x", address="auto", gpus_per_trial=0.5), nodes) == 2 + 3
    # Nodes may yet join: the first trial waits for one.
    assert trials_at_a_time(LatentSweep(name="x", address="auto", cpus_per_trial=8), nodes) == 1


def test_an_autoscaler_may_be_asked_for_more_than_fits() -> None:
    config = LatentSweep(name="x", address="auto", max_concurrent=9)
    assert trials_at_a_time(config, Resources((Node("head", 0, 0, head=True),))) == 9
    with pytest.raises(InputError, match="--max-concurrent is 9, but 4 trials of 1 CPU fit into 4 CPUs"):
        trials_at_a_time(dataclasses.replace(config, address=None), machine(4, 0))


def test_workers_keep_to_the_quota_of_a_container() -> None:
    code = "from tune_dd.sweeps.ray_session import local_cpus; print(local_cpus())"
    limited = (
        'mount -t tmpfs tmpfs /sys/fs/cgroup && echo "100000 100000" > /sys/fs/cgroup/cpu.max && exec "$@"'
    )
    root = str(Path(__file__).parent.parent.parent)
    command = ["unshare", "-m", "sh", "-c", limited, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": root})
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"cannot make a mount namespace here: {done.stderr.strip()}")
    assert done.stdout == "1\n", done.stderr


def test_every_encoder_is_checked(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    torch.save({"foreign": torch.zeros(1)}, weights)
    config = LatentSweep(name="x", backbones=("conv", "resnet18"), settings={"weights": str(weights)})
    with pytest.raises(InputError, match=r"weights\.pt lacks .*resnet18"):
        check_data(config, tmp_path / "cache", print)
    with pytest.raises(InputError, match="--backbone-size is 40"):
        check_data(
            LatentSweep(name="x", backbones=("conv", "vit_b_16"), settings={"backbone_size": 40}),
            tmp_path / "cache",
            print,
        )
    with pytest.raises(InputError, match="--device is 'cuda:99'"):
        check_data(LatentSweep(name="x", settings={"device": "cuda:99"}), tmp_path / "cache", print)


class TestDryRun:
    def features(self, here: Path) -> LatentSweep:
        x = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
        np.savez(here / "features.npz", features=x, labels=np.arange(80) % 2)
        (here / "cache" / "features").mkdir(parents=True)
        return LatentSweep(
            name="x",
            datasets=("features",),
            prototypes=(3,),
            storage=str(here / "results"),
            cache=str(here / "cache"),
            settings={"features_train": str(here / "features.npz")},
        )

    def test_data_that_nobody_read_stay_out_of_the_cache(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = self.features(tmp_path)
        before = files(tmp_path)
        dry_run(config)
        assert files(tmp_path) == before
        assert "encoder features/identity/seed0: to be trained first" in capsys.readouterr().out

    def test_it_refuses_what_the_sweep_refuses(self, tmp_path: Path) -> None:
        config = self.features(tmp_path)
        before = files(tmp_path)
        for changes, says in (
            ({"prototypes": (50,)}, "--prototypes is 50.*smallest class of features has 24"),
            ({"warm_start": "gone"}, "gone, where no sweep is"),
        ):
            with pytest.raises(InputError, match=says):
                dry_run(LatentSweep(**{**vars(config), **changes}))
        assert files(tmp_path) == before

    def test_what_the_cache_holds_is_found(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        cache = tmp_path / "cache"
        config = LatentSweep(
            name="x", storage=str(tmp_path / "results"), cache=str(cache), settings={"ae_epochs": 1}
        )
        parsed = LatentConfig.parse(config.trial_settings(config.cells[0], {"method": "implicit"}))
        prepare_latents(parsed.data, parsed.encoder, cache, print)
        before = files(cache)
        dry_run(config)
        assert "encoder digits/conv/seed0: in the cache" in capsys.readouterr().out
        assert files(cache) == before

    def test_nothing_is_downloaded(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = LatentSweep(
            name="x",
            datasets=("cifar10",),
            storage=str(tmp_path / "results"),
            cache=str(tmp_path / "cache"),
            settings={"data_root": str(tmp_path / "data")},
        )
        dry_run(config)
        said = capsys.readouterr().out
        assert "it would be downloaded" in said
        assert "encoder cifar10/conv/seed0: to be trained first" in said
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(InputError, match="cifar10 cannot be had"):
            dry_run(LatentSweep(**{**vars(config), "settings": {**config.settings, "download": False}}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the head of a cluster may lack")
def test_a_cluster_is_not_held_against_this_machine(shared_cache: Path) -> None:
    for settings, told in (({"device": "cuda"}, "--device is 'cuda'"), ({"encoder_threads": 999}, "999")):
        config = LatentSweep(name="x", prototypes=(1,), settings=settings)
        with pytest.raises(InputError, match=told):
            check_data(config, shared_cache / "tune-dd", print)
        check_data(dataclasses.replace(config, address="auto"), shared_cache / "tune-dd", print)


def test_files_are_put_on_record_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials, on whatever machine, read nothing by relative paths."""
    monkeypatch.chdir(tmp_path)
    for given, recorded in (("weights.pt", str(tmp_path / "weights.pt")), ("default", "default")):
        flags = build_parser().parse(["--backbones", "resnet18", "--weights", given])
        assert _config(LatentSweep, flags).settings["weights"] == recorded

"""``tune-dd use``: what a distilled set is, and the same set for other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.errors import InputError
from trainables.whole_files import NO_ROOM
from tune_dd.flags import FlagParser, Flags, main_guard, parser

if TYPE_CHECKING:  # torch takes a second to import: only once the flags are known to be good
    from trainables.environment.distilled_set import DistilledSet
    from tune_dd.using.latent_points import LatentPoints

Write = Callable[[], object]
Outputs = dict[str, Path]
"""Files and folders to write, by flag without its dashes."""
_OVERWRITE = "choose another name, or add --overwrite"


def build_parser() -> FlagParser:
    """The flags of ``tune-dd use``."""
    made = parser(
        "tune-dd use",
        "Say what a distilled set is and what can be done with it; or write it as another program reads it. "
        "FILE is a run's distillation_artifacts.pt or distilled_set.pt, a set of the method's authors (.pt, "
        ".ckpt), or the folder of a run or a trial.",
    )
    made.add_word("file", "the distilled set, or its folder")
    made.add_flag(
        "--set", str,
        "which of several sets of latents, controls among them (default: the one that was learned)",
        metavar="NAME",
    )  # fmt: skip
    made.add_flag(
        "--pt", str,
        "write tensors for torch.load(weights_only=True); of an environment as the method's authors have "
        "them, an encoder in FILE_encoder.pt",
        metavar="FILE",
    )  # fmt: skip
    made.add_flag("--npz", str, "write arrays for numpy.load", metavar="FILE")
    made.add_flag(
        "--images", str,
        "write latents as DIR/<class>/<NNN>.png: decoded, or of real points the real images; soft labels are "
        "in DIR/labels.csv",
        metavar="DIR",
    )  # fmt: skip
    made.add_flag(
        "--cache", str, "folder of encoders (default: the user's, then the one the run used)", metavar="DIR"
    )
    made.add_flag("--overwrite", bool, "write over what an earlier call has written")
    made.add_flag("--encoder", str, "a game's encoder, where it has a file of its own", metavar="FILE")
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)
    outputs = _outputs(flags)

    from tune_dd.using.finding import set_file
    from tune_dd.using.latent_points import LatentPoints
    from tune_dd.using.opening import open_set

    file = set_file(flags["file"])
    encoder = Path(flags["encoder"]).expanduser() if flags["encoder"] else None
    found = open_set(file, flags["set"], encoder)
    if isinstance(found, LatentPoints):
        _keep_sources(outputs, [file])
        _use_points(found, outputs, flags)
    else:
        if found.encoder and "pt" in outputs:
            outputs["encoder"] = _new(flags, "pt", _encoder_beside(outputs["pt"]))
        _keep_sources(outputs, [file, encoder])
        _use_environment(found, file, encoder, outputs, flags)
    return 0


def _outputs(flags: Flags) -> Outputs:
    """What is to be written, looked at before anything is.

    Raises:
        InputError: if something is there already, or cannot be written.
    """
    from tune_dd.environments.new_files import check_parent

    found = {name: _new(flags, name, Path(flags[name])) for name in ("pt", "npz") if flags[name] is not None}
    if flags["images"] is not None:
        from tune_dd.using.image_export import is_image_export

        path = Path(os.path.abspath(Path(flags["images"]).expanduser()))
        if os.path.lexists(path) and not flags["overwrite"]:
            raise InputError(f"{path} exists already", "a run never overwrites another's files", _OVERWRITE)
        if os.path.lexists(path) and not (path.is_dir() and is_image_export(path)):
            raise InputError(
                f"{path} is no folder that this command wrote, or holds more",
                "--overwrite replaces nothing else",
                "choose another name",
            )
        for name, file in found.items():
            if file.absolute().is_relative_to(path):
                raise InputError(
                    f"--{name} is {file}", "the folder of --images gets images alone", "choose another"
                )
        check_parent("--images", path)
        found["images"] = path
    return found


def _new(flags: Flags, name: str, path: Path) -> Path:
    """A file that the flag of this name asks for."""
    from tune_dd.environments.new_files import new_file

    checked = new_file(f"--{name}", str(path), f".{name}", overwrite=flags["overwrite"], remedy=_OVERWRITE)
    assert checked is not None
    return checked


def _encoder_beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_encoder.pt")


def _keep_sources(outputs: Outputs, sources: Sequence[Path | None]) -> None:
    """Refuse to write over what is read, overwriting or not.

    Raises:
        InputError: an output is such a file.
    """
    kept = {os.path.realpath(source) for source in sources if source is not None}
    for name, path in outputs.items():
        if os.path.realpath(path) in kept:
            raise InputError(f"--{name} is {path}", "that is where the set is read", "choose another name")


def _use_points(points: LatentPoints, outputs: Outputs, flags: Flags) -> None:
    from tune_dd.using.description import describe_points
    from tune_dd.using.exports import save_points, save_points_npz
    from tune_dd.using.image_export import images_of, save_images

    cache = Path(flags["cache"]).expanduser().absolute() if flags["cache"] else None
    if not outputs:
        print(describe_points(points, flags["file"], cache))
        return
    # Whatever may be missing is found out before the first file is there.
    images = images_of(points, cache, _report) if "images" in outputs else None
    if "pt" in outputs:
        _write(outputs["pt"], lambda: save_points(outputs["pt"], points))
    if "npz" in outputs:
        _write(outputs["npz"], lambda: save_points_npz(outputs["npz"], points))
    if images is not None:
        path, (pixels, what) = outputs["images"], images
        _write(path, lambda: save_images(path, points, pixels, replace_it=flags["overwrite"]), what)


def _use_environment(
    distilled: DistilledSet, file: Path, encoder: Path | None, outputs: Outputs, flags: Flags
) -> None:
    from tune_dd.using.description import authors_remark, describe_environment
    from tune_dd.using.exports import save_authors_layout, save_environment_npz

    if not outputs:
        print(describe_environment(distilled, flags["file"], file, encoder))
        return
    if "images" in outputs:
        raise InputError(
            f"--images is given with {file}", "a distilled environment has states, no images", "leave it out"
        )
    if "pt" in outputs:
        beside = outputs.get("encoder")
        _write(outputs["pt"], lambda: save_authors_layout(outputs["pt"], distilled, beside))
        if beside is not None:
            print(f"  and {beside}, for --encoder")
        if remark := authors_remark(distilled):
            print(remark)
    if "npz" in outputs:
        _write(outputs["npz"], lambda: save_environment_npz(outputs["npz"], distilled))


def _write(path: Path, write: Write, what: str = "") -> None:
    """Write one output, and say so.

    Raises:
        InputError: it cannot be written; nothing half-written stays.
    """
    try:
        write()
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise InputError(
            f"{path} cannot be written ({error.strerror})", "its folder must be writable", "choose another"
        ) from error
    print(f"written: {path}{f' ({what})' if what else ''}", flush=True)


def _report(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Flags from the schema: what is given, what is default, and errors of one line."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from trainables.errors import InputError
from trainables.schema import check_options, option
from tune_dd.flags import FlagParser, add_config, main_guard, parser


@dataclass(frozen=True)
class Small:
    """A small config. Only its first line is a heading."""

    size: int = option(4, "a size, of 100% importance", at_least=1)
    rate: float = option(0.5, "a rate", above=0.0, at_most=1.0)
    kind: str = option("round", "a kind", choices=("round", "square"))
    fast: bool = option(True, "hurry")
    limit: int | None = option(None, "a limit (default: none)", at_least=1)

    def __post_init__(self) -> None:
        check_options(self)


@pytest.fixture
def small() -> FlagParser:
    made = parser("tune-dd small", "A small command.")
    add_config(made, Small)
    made.add_flag("--names", str, "some names", default=("a",), many=True, choices=("a", "b"))
    return made


def test_given_and_default_flags_are_told_apart(small: FlagParser) -> None:
    flags = small.parse(["--size", "4", "--no-fast", "--names", "b", "a"])
    assert flags.given == {"size": 4, "fast": False, "names": ("b", "a")}
    assert flags.given_for(Small) == {"size": 4, "fast": False}
    assert flags.values == {
        "size": 4, "rate": 0.5, "kind": "round", "fast": False, "limit": None, "names": ("b", "a"),
    }  # fmt: skip
    assert flags["rate"] == 0.5


def test_a_switch_is_off_unless_given(small: FlagParser) -> None:
    small.add_flag("--again", bool, "once more")
    assert small.parse([])["again"] is False
    assert small.parse([]).given == {}
    assert small.parse(["--again"]).given == {"again": True}
    with pytest.raises(SystemExit):
        small.parse(["--no-again"])


def test_numbers_are_read_as_such(small: FlagParser) -> None:
    flags = small.parse(["--rate=1e-3", "--limit", "7"])
    assert flags.given == {"rate": 1e-3, "limit": 7}
    assert type(flags["limit"]) is int


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--sise 3", "--sise is not a flag of this command: did you mean --size?"),
        ("--sise=3", "--sise is not a flag of this command: did you mean --size?"),
        ("--siz 3", "--siz is not a flag of this command: did you mean --size?"),
        ("--quux", "--quux is not a flag of this command: see tune-dd small --help."),
        ("--size 3.5", "--size is '3.5', but must be a whole number: give one such as 10."),
        ("--rate much", "--rate is 'much', but must be a number: give one such as 0.05."),
        ("--size 0", "--size is 0, but must be at least 1: give a value in that range."),
        ("--rate -1e-3", "--rate is -0.001, but must be greater than 0.0: give a value in that range."),
        ("--rate 1.5", "--rate is 1.5, but must be at most 1.0: give a value in that range."),
        ("--rate nan", "--rate is nan, but must be a finite number: give one such as 0.1."),
        ("--rate -inf", "--rate is -inf, but must be a finite number: give one such as 0.1."),
        (
            "--kind sqare",
            "--kind is 'sqare', but is not known: did you mean 'square'? Known are round, square.",
        ),
        ("--names a c", "--names is 'c', but is not known: choose one of a, b."),
        ("--size", "--size is given without a value, but needs one: write it after the flag."),
        ("--names", "--names is given without a value, but needs one: write it after the flag."),
        ("stray", "'stray' is one word too many: see tune-dd small --help."),
    ],
)
def test_bad_flags_end_in_one_line_and_code_2(
    small: FlagParser, capsys: pytest.CaptureFixture[str], words: str, line: str
) -> None:
    with pytest.raises(SystemExit) as left:
        small.parse(words.split())
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"tune-dd small: {line}\n")


def test_a_missing_word_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    made = parser("tune-dd small", "A small command.")
    made.add_word("sweep", "a results folder")
    with pytest.raises(SystemExit):
        made.parse([])
    assert capsys.readouterr().err == "tune-dd small: SWEEP is missing: see tune-dd small --help.\n"
    assert made.parse(["results/x"])["sweep"] == "results/x"


def test_help_tells_rules_and_defaults(small: FlagParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        small.parse(["--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "usage: tune-dd small [flags]",
        "A small config. Only its first line is a heading:",
        "a size, of 100% importance (default: 4)",
        "--kind {round,square} a kind (default: round)",
        "--fast, --no-fast hurry (default: yes)",
        "a limit (default: none)",
        "--names NAME [NAME ...] some names: a, b (default: a)",
    ):
        assert words in text


def test_defaults_and_fields_may_differ_by_verb(capsys: pytest.CaptureFixture[str]) -> None:
    made = parser("tune-dd small", "A small command.")
    add_config(made, Small, skip=["rate"], overrides={"size": 9})
    assert made.parse([]).values["size"] == 9
    assert made.parse([]).given == {}
    with pytest.raises(SystemExit):
        made.parse(["--rate", "0.1"])


def beyond_memory() -> RuntimeError:
    """What torch raises where it asks for more than any address space has."""
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**45)
    return error.value


NO_MEMORY = "tune-dd test_flags: it needs more memory than there is: ask for less at once.\n"


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (InputError("it is so", "must be otherwise", "change it"), 2,
         "tune-dd test_flags: it is so, but must be otherwise: change it.\n"),
        (OSError(errno.ENOSPC, "No space left", "/a/b"), 1,
         "tune-dd test_flags: the disk of /a/b is full: make room and run it again.\n"),
        (MemoryError(), 1, NO_MEMORY),
        (beyond_memory(), 1, NO_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 1, NO_MEMORY),
        (KeyboardInterrupt(), 130, "\ntune-dd test_flags: interrupted.\n"),
    ],
)  # fmt: skip
def test_the_guard_turns_ends_into_codes(
    raised: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @main_guard
    def main(argv: Sequence[str] | None) -> int:
        raise raised

    assert main([]) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    "raised", [ZeroDivisionError(), RuntimeError("no"), FileNotFoundError(errno.ENOENT, "gone")]
)
def test_the_guard_lets_defects_through(raised: Exception) -> None:
    @main_guard
    def main(argv: Sequence[str] | None) -> int:
        raise raised

    with pytest.raises(type(raised)):
        main([])


def test_a_reader_that_leaves_is_no_error() -> None:
    code = (
        "from tune_dd.flags import main_guard\n"
        "@main_guard\n"
        "def main(argv=None):\n"
        "    for line in range(100_000): print(line)\n"
        "    return 0\n"
        "raise SystemExit(main())"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stderr is not None
    assert writer.stdout.readline() == b"0\n"
    writer.stdout.close()
    assert writer.wait(timeout=30) == 141
    assert writer.stderr.read() == b""
    writer.stderr.close()

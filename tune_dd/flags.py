"""Command-line flags made from the configuration schema, and errors that fit one line.

Every verb builds its parser here, so that they all read numbers alike, suggest the nearest name for a
misspelt one, and end with exit code 2 and a single line where input cannot be used.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from trainables.errors import InputError
from trainables.schema import check_value, flag_name, value_type
from trainables.whole_files import NO_ROOM

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
_WORDS = {int: "a whole number", float: "a number", str: "text"}
_EXAMPLES = {int: "10", float: "0.05"}
_NEAR = 0.65
"""How much alike (see :mod:`difflib`) a flag must be to be suggested; both begin with dashes."""
_VERY_NEAR = 0.9
"""The same where the flag, as it was written, is one of a sibling command."""
_METAVARS = {int: "N", float: "X", str: "TEXT"}
Siblings = Callable[[], Sequence["FlagParser"]]


@dataclass(frozen=True)
class Flags:
    """What a command line said.

    Attributes:
        given: the flags that stand on the command line, by field name ("m_per_class").
        values: every flag of the verb; where one was not given, its default.
    """

    given: dict[str, Any]
    values: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def given_for(self, *configs: type) -> dict[str, Any]:
        """The part of ``given`` that belongs to these config dataclasses, as their flat dict."""
        names = {field.name for config in configs for field in dataclasses.fields(config)}
        return {name: value for name, value in self.given.items() if name in names}


class FlagParser(argparse.ArgumentParser):
    """An argument parser that complains in one line and knows which flags were really given.

    Args:
        prog: the whole command, "tune-dd search".
        description: of it, for ``--help``.
        siblings: makes the parsers of the commands that a flag unknown to this one may be meant for.
    """

    def __init__(self, prog: str, description: str, siblings: Siblings = tuple) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=30),
        )
        # argparse takes "-1" for a value but "-1e-3" and "-inf" for unknown flags.
        self._negative_number_matcher = re.compile(
            r"^-(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|inf|nan)$"
        )
        self._defaults_by_name: dict[str, Any] = {}
        self._siblings = siblings

    def add_flag(
        self,
        flag: str,
        kind: type,
        help: str,  # the word argparse uses
        *,
        default: Any = None,
        many: bool = False,
        at_least: float | None = None,
        above: float | None = None,
        at_most: float | None = None,
        choices: Sequence[str] | None = None,
        metavar: str | None = None,
        group: argparse._ArgumentGroup | None = None,
    ) -> None:
        """Add one flag.

        Args:
            flag: with its dashes, "--num-trials".
            kind: ``int``, ``float``, ``str`` or ``bool`` (a pair --flag / --no-flag; without a default, a
                switch that is off unless given).
            help: one sentence without the default, which is appended where there is one.
            default: what :attr:`Flags.values` holds where the flag is not given.
            many: takes one or more values and yields a tuple.
            at_least, above, at_most, choices: the rule each value is held against.
            metavar: what stands for the value in ``--help``.
            group: the titled part of ``--help`` it stands in.
        """
        name = flag.lstrip("-").replace("-", "_")
        self._defaults_by_name[name] = default
        if many and choices:  # argparse would show the braces twice
            help, metavar = f"{help}: {', '.join(choices)}", metavar or "NAME"
        shown = (help + _default_words(default)).replace("%", "%%")
        target = group or self
        if kind is bool and default is None:
            self._defaults_by_name[name] = False
            target.add_argument(flag, action="store_true", help=shown)
            return
        if kind is bool:
            target.add_argument(flag, action=argparse.BooleanOptionalAction, help=shown)
            return
        rule = {"at_least": at_least, "above": above, "at_most": at_most, "choices": choices}
        target.add_argument(
            flag,
            action=_CheckedStore,
            convert=functools.partial(_read_value, flag, kind, rule),
            nargs="+" if many else None,
            metavar=metavar or ("{" + ",".join(choices) + "}" if choices else _METAVARS[kind]),
            help=shown,
        )

    def add_word(self, name: str, help: str, *, optional: bool = False) -> None:
        """Add a word that is given without a flag, such as a results folder."""
        self._defaults_by_name[name] = None
        shown = f"[{name.upper()}]" if optional else name.upper()
        self.add_argument(name, metavar=shown, help=help.replace("%", "%%"), nargs="?" if optional else None)

    def parse(self, argv: Sequence[str] | None = None) -> Flags:
        """Read a command line (``sys.argv`` without one), or leave with one line and exit code 2."""
        words = [action.metavar for action in self._actions if not action.option_strings]
        self.usage = " ".join([self.prog, *map(str, words), "[flags]"])
        try:
            found, extra = self.parse_known_args(argv)
        except InputError as error:
            self.error(str(error))
        if extra:
            self.error(self._unknown(extra[0]))
        given = {name: value for name, value in vars(found).items() if value is not None}
        return Flags(given, {**self._defaults_by_name, **given})

    def error(self, message: str) -> NoReturn:
        """Leave with ``message`` as the only line on stderr, and exit code 2."""
        missing = re.fullmatch(r"argument (--\S+): expected (?:one|at least one) argument", message)
        if missing:
            message = f"{missing[1]} is given without a value, but needs one: write it after the flag."
        missing = re.fullmatch(r"the following arguments are required: (.+)", message)
        if missing:
            message = f"{missing[1]} is missing: see {self.prog} --help."
        print(f"{self.prog}: {' '.join(message.split())}", file=sys.stderr)
        raise SystemExit(2)

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            below = f"{self.prog} "
            verbs = [other.prog.removeprefix(below) for other in self._siblings()]
            meant = difflib.get_close_matches(word, verbs, n=1, cutoff=_NEAR)
            remedy = f"did you mean '{meant[0]}'?" if meant else f"see {self.prog} --help."
            return f"'{word}' is one word too many: {remedy}"
        flag = word.partition("=")[0]
        elsewhere = [f"{other.prog} {flag}" for other in self._siblings() if flag in other.flag_names]
        near = _VERY_NEAR if elsewhere else _NEAR
        meant = difflib.get_close_matches(flag, self.flag_names, n=1, cutoff=near) + elsewhere
        remedy = f"did you mean {', or '.join(meant)}?" if meant else f"see {self.prog} --help."
        return f"{flag} is not a flag of this command: {remedy}"

    @property
    def flag_names(self) -> list[str]:
        """All that may be given, with their dashes."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


class _CheckedStore(argparse.Action):
    """Stores what ``convert`` makes of the words; an InputError passes whole, unlike in ``type=``."""

    def __init__(self, *, convert: Callable[[str], Any], **settings: Any) -> None:
        super().__init__(**settings)
        self.convert = convert

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        one = isinstance(values, str)
        setattr(namespace, self.dest, self.convert(values) if one else tuple(map(self.convert, values)))


def parser(prog: str, description: str, siblings: Siblings = tuple) -> FlagParser:
    """A parser for one verb; arguments as of :class:`FlagParser`."""
    return FlagParser(prog, description, siblings)


def add_sweep(made: FlagParser) -> None:
    """The word and the flag by which verbs that read a sweep find it, and its encoders."""
    made.add_word("results", "the sweep's folder, results/NAME, or s3://BUCKET/PREFIX/NAME")
    made.add_flag(
        "--cache", str, "folder of encoders and latents (default: the one the sweep used)", metavar="DIR"
    )


def add_config(
    parser: FlagParser,
    config: type,
    *,
    skip: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Add a flag for every field of a config dataclass, under its docstring's first line.

    Args:
        skip: fields that get no flag here.
        overrides: defaults of this verb that differ from the dataclass's.
    """
    group = parser.add_argument_group((config.__doc__ or config.__name__).splitlines()[0].rstrip("."))
    skipped = set(skip)
    for field in dataclasses.fields(config):
        if field.name in skipped:
            continue
        kind, _ = value_type(config, field.name)
        settings = dict(field.metadata)
        parser.add_flag(
            flag_name(field.name),
            kind,
            settings.pop("help"),
            default=(overrides or {}).get(field.name, field.default),
            group=group,
            **settings,
        )


class Main(Protocol):
    """A verb's entry point: takes the words after the verb (``sys.argv`` without any), gives an exit code."""

    def __call__(self, argv: Sequence[str] | None = None) -> int: ...


def main_guard(main: Main) -> Main:
    """Wrap a verb's ``main`` so that it returns an exit code, whatever ends it on purpose.

    Unusable input gives one line and 2, a disk or memory that is full one line and 1, Ctrl-C one line and
    130, and a reader of our output that went away (``| head``) the 141 that a shell reports for it. Warnings
    take one line. Defects keep their traceback.
    """
    command = f"tune-dd {Path(inspect.getfile(main)).stem}"

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _one_line_warning(command)
                code = main(argv)
            sys.stdout.flush()
            return code
        except InputError as error:
            print(f"{command}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"\n{command}: interrupted.", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # The interpreter flushes stdout once more as it leaves, and would complain then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            print(f"{command}: it needs more memory than there is: ask for less at once.", file=sys.stderr)
            return 1
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            place = f" of {error.filename}" if error.filename else ""
            print(f"{command}: the disk{place} is full: make room and run it again.", file=sys.stderr)
            return 1

    return guarded


def _lacks_memory(error: Exception) -> bool:
    """Torch says so by a RuntimeError: of a class of its own for a GPU's, of none for the machine's."""
    told = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in told or "out of memory" in told


def _one_line_warning(command: str) -> Callable[..., None]:
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if category is UserWarning:
            print(f"{command}: warning: {' '.join(str(message).split())}", file=sys.stderr)
        else:  # speaks to programmers, who need to know where
            others(message, category, *where, **more)

    return show


def _read_value(flag: str, kind: type, rule: Mapping[str, Any], text: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise InputError(
            f"{flag} is '{text}'", f"must be {_WORDS[kind]}", f"give one such as {_EXAMPLES[kind]}"
        ) from None
    check_value(flag, value, kind, rule)
    return value


def _default_words(default: Any) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return f" (default: {'yes' if default else 'no'})"
    return f" (default: {' '.join(map(str, default)) if isinstance(default, tuple | list) else default})"

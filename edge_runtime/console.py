"""What kenpin's three commands have in common: errors become one line and an exit status, here and nowhere else."""

import argparse
import codecs
import difflib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, NoReturn

from edge_runtime.errors import MEND_FIRST, TRY_AGAIN, KenpinError, UsageError

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C."""


OURS = {"edge_runtime", "train", "export", "demo"}


class Parser(argparse.ArgumentParser):
    """A command's arguments. A mistake in them is one line that names it, and exit status 2; --help has the rest."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """As argparse does, but nothing unknown is left over: here its likely meaning is known, one command up not."""
        self._given = sys.argv[1:] if args is None else list(args)
        found, unknown = super().parse_known_args(self._given, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say `message`, or what is behind it: where an option is misspelt, argparse may miss it and say so first."""
        hidden = message.startswith(("unrecognized arguments", "the following arguments are required"))
        line = " ".join(((self._misspelt() if hidden else "") or message).split())  # an argument may hold line breaks
        self.exit(UsageError.exit_status, f"{self.prog}: error: {line}; see {self.prog} --help\n")

    def _misspelt(self) -> str:
        """The first option given that is none, and the nearest that is; "" where there is nothing like it."""
        names = [option.lstrip("-") for action in self._actions for option in action.option_strings]
        for given in (word[2:].partition("=")[0] for word in self._given if word.startswith("--")):
            known = any(name.startswith(given) for name in names)  # argparse takes the beginning of one, too
            if not known and (near := difflib.get_close_matches(given, names, n=1)):
                return f"unknown option --{given} (did you mean --{near[0]}?)"
        return ""


def version() -> str:
    """Which kenpin this is, for `--version`."""
    try:
        return f"kenpin {installed('kenpin')}"
    except PackageNotFoundError:
        return "kenpin, from a checkout that is not installed"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as JSON and TOML write it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error("kenpin.escaped", _escaped)


def begin() -> None:
    """What the locale's encoding of a terminal lacks is escaped there from now on, and ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where it is closed, or somebody's own
            stream.reconfigure(errors="kenpin.escaped")


def for_machines(text: str) -> str:
    """`text`, JSON or TOML, for stdout: the same for its reader where that is not UTF-8, only escaped."""
    utf_8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    return text if utf_8 else text.encode("ascii", "kenpin.escaped").decode()


def to_stderr(line: str) -> None:
    """Say `line` to whoever sits there."""
    print(line, file=sys.stderr)


def guarded(
    command: str, extra: str, work: Callable[[], int], *, say: Callable[[str], None] = to_stderr, service: bool = False
) -> int:
    """Run `work` and return its exit status, or that of the KenpinError it raised, after one line a mistake.

    `extra`: which of kenpin's extras holds what `work` imports. `service`: it is a daemon, whose status tells a service
    manager whether to start it again (75) or not (78).
    """
    try:
        status = work()
        sys.stdout.flush()
    except KenpinError as error:
        for line in str(error).split("\n"):
            say(f"{command}: {line}")
        return error.service_status if service else error.exit_status
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise  # a bug, and no package to install
        say(f"{command}: needs {error.name}; install it with: pip install 'kenpin[{extra}]'")
        return MEND_FIRST if service else UsageError.exit_status
    except BrokenPipeError:
        # The reader (head, less) has gone; point stdout elsewhere, or Python complains once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # the disk is full, a folder is closed to us: what names the thing is in the error
        say(f"{command}: {error.filename or 'output'}: {error.strerror or error}")
        return TRY_AGAIN if service else KenpinError.exit_status
    except KeyboardInterrupt:
        say(f"{command}: interrupted")
        return INTERRUPTED
    return status

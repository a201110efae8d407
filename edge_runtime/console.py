"""What kenpin's three commands have in common: errors become one line and an exit status, here and nowhere else."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, NoReturn

from edge_runtime.errors import KenpinError, UsageError

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


def guarded(command: str, extra: str, work: Callable[[], int]) -> int:
    """Run `work` and return its exit status, or that of the KenpinError it raised, after one line a mistake.

    `extra`: which of kenpin's extras holds what `work` imports.
    """
    try:
        status = work()
        sys.stdout.flush()
    except KenpinError as error:
        for line in str(error).splitlines():
            print(f"{command}: {line}", file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise  # a bug, and no package to install
        print(f"{command}: needs {error.name}; install it with: pip install 'kenpin[{extra}]'", file=sys.stderr)
        return UsageError.exit_status
    except BrokenPipeError:
        # The reader (head, less) has gone; point stdout elsewhere, or Python complains once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # the disk is full, a folder is closed to us: what names the thing is in the error
        print(f"{command}: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return KenpinError.exit_status
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status

"""What kenpin's three commands have in common: errors become one line and an exit status, here and nowhere else."""

import os
import sys
from collections.abc import Callable

from edge_runtime.errors import KenpinError, UsageError

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C."""


OURS = {"edge_runtime", "train", "export", "demo"}


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

"""Progress on the terminal: a bar for what is counted, a bar for epochs with the time left."""

from types import TracebackType
from typing import Any, Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from train.views import Report

PLAIN_STEPS = 10
"""Where no terminal can redraw a bar (a log, CI), this many lines tell of a training."""
PACE_S = 3600.0
"""The time left is told from the pace of this many seconds: one step may be a whole training."""


class Bars:
    """Bars on stderr while in its `with` block, so that stdout holds results only."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left"),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column()),  # what gives way on a narrow terminal
            console=self._console,
            speed_estimate_period=PACE_S,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """A line that stays, above the bars."""
        self._console.print(line, markup=False, soft_wrap=True)

    def counter(self, what: str) -> Report:
        """A bar that is told how many of how many are done."""
        task = self._progress.add_task(what, total=None, note="")
        return lambda done, total: self._progress.update(task, completed=done, total=total)

    def epochs(self, total: int, *, plain_steps: int = PLAIN_STEPS) -> keras.callbacks.Callback:
        """A Keras callback that shows epochs and the losses that matter, of one training or one after the other.

        `plain_steps`: lines that tell of a training where no terminal can redraw a bar; 0: none.
        """
        task = self._progress.add_task("training", total=total, note="", visible=False)
        return _Epochs(self, self._progress, task, total, plain_steps)


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    def __init__(self, bars: Bars, progress: Progress, task: Any, total: int, plain_steps: int) -> None:
        super().__init__()
        self.bars, self.progress, self.task, self.total = bars, progress, task, total
        self.plain_steps = plain_steps

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.progress.reset(self.task, total=self.total, visible=True, note="")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        note = f"error {logs['error']:.5f}  validation {logs['val_error']:.5f}"
        if logs.get("wrong_error"):
            note += f"  wrong label {logs['wrong_error']:.5f}"
        self.progress.update(self.task, completed=epoch + 1, note=note)
        if not (self.progress.disable and self.plain_steps):
            return
        every = max(1, self.total // self.plain_steps)
        if (epoch + 1) % every == 0 or epoch == 0:
            self.bars.say(f"epoch {epoch + 1} of at most {self.total}: {note}")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.progress.update(self.task, total=self.progress.tasks[self.task].completed)

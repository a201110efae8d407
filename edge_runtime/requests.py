"""Inspections asked for over MQTT: each gets one verdict and one answer, also where connection or process end between.

The broker keeps a request until we have acknowledged it, which is when the broker has its answer. What it sends again
meanwhile is marked so by it, and known by its response topic, its correlation data and the broker's number of the
message: a request that has its verdict gets the same again. The mark alone would not do: the broker marks what it has
sent, not what we have read, and that may be a question by a name that was used before.

Who asks while the station ends is answered by its next start, too, where the broker keeps the question until then.
Where it does not (MQTT 3.1.1, QoS 0), who asks is told so at once.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ValidationError

from edge_runtime.broker import SESSION_S
from edge_runtime.commands import Asker, Order
from edge_runtime.errors import TriggerError
from edge_runtime.messages import InspectWish, Refusal
from edge_runtime.outbox_file import Answer

log = logging.getLogger(__name__)

REPEATED_S = 2.0 * SESSION_S
"""How old a verdict may be that a repeated request is answered with: the broker holds a request for a session after the
connection has ended, which it may notice half a minute late; and the picture came a little before the verdict."""
ENDING = "the station ends, so nothing was inspected; ask again when it is back"


class _Given(BaseModel):
    """Of a verdict, when its picture was taken."""

    captured_at: AwareDatetime


class Requests:
    """The requests that have no verdict yet. One object for all threads; its lock is held for `ask`, `remembered`
    and `forget`, and for no answer.

    `ask`: makes a trigger of a request; raises TriggerError. `remembered`: the answer that was kept for this delivery,
    or after a damage for its key; None where there is none. `forget`: on the disk when it returns.
    `now`: the time, UTC.
    """

    def __init__(
        self,
        ask: Callable[[Asker], None],
        remembered: Callable[[str], Answer | None],
        forget: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ask, self._remembered, self._forget, self._now = ask, remembered, forget, now
        self._mutex = threading.Lock()
        self._open: dict[str, Order] = {}
        self._over = False

    def inspect(self, order: Order) -> None:
        """The command `inspect`: answered with the verdict when that is kept. Raises TriggerError."""
        try:
            InspectWish.model_validate_json(order.payload or b"{}")
        except ValidationError as error:
            why = f'expected an empty payload, {{}} or {{"request": "..."}}, not {order.payload[:80]!r}'
            raise TriggerError(why) from error
        asker = order.asker
        with self._mutex:
            earlier = self._open.get(asker.key)
            verdict = self._given(asker, again=order.again) if earlier is None else None
            if self._over and verdict is None:
                if not order.stays:
                    raise TriggerError(ENDING)
                return
            if earlier is None and verdict is None:
                self._ask(asker)
            if verdict is None:
                self._open[asker.key] = order
        if verdict is not None:
            order.answer(verdict)
        elif earlier is not None:  # sent again: the later one is answered, and the earlier holds up no acknowledgement
            earlier.let_go()

    def _given(self, asker: Asker, *, again: bool) -> bytes | None:
        """The verdict that this very message was given before; None where it is a new question.

        An old OK is no answer to that, also if we are killed before it has its own: so what was given is forgotten.
        """
        for key in (asker.delivery, asker.key):  # the latter after a damage: the ledger knows no numbers of messages
            if (given := self._remembered(key)) is not None:
                if again and self._is_recent(given):
                    return given.json
                self._forget(key)
        return None

    def _is_recent(self, given: Answer) -> bool:
        """Whether the broker may hold the request still that got this answer. In doubt it does not: who asked then
        gets a newer verdict, which is never wrong.

        After a start of the machine, or a damage, only the wall clock can tell. So it is in doubt where the picture is
        still to come, since that clock was set back, or where the verdict does not say when it was taken.
        """
        age_s = given.age_s
        if age_s is None:
            try:
                age_s = (self._now() - _Given.model_validate_json(given.json).captured_at).total_seconds()
            except ValidationError:
                return False
        return 0 <= age_s <= REPEATED_S

    def answer(self, key: str, verdict: bytes) -> None:
        """Answer the request of this key: its verdict is kept."""
        with self._mutex:
            order = self._open.pop(key, None)
        if order is not None:
            order.answer(verdict)

    def end(self) -> None:
        """Say that there are no more verdicts: who waits for one, or asks from now on, is refused.

        But not where the broker keeps the question: that is not acknowledged, and the next start answers it.
        """
        with self._mutex:
            self._over = True
            left = [order for order in self._open.values() if not order.stays]
            self._open.clear()
        for order in left:
            wish = InspectWish.model_validate_json(order.payload or b"{}")
            try:
                order.answer(Refusal(error=ENDING, request=wish.request).to_json())
            except Exception:  # whoever cannot be told: the others must be, and verdicts still be sent
                log.exception("cmd/inspect: the end could not be told to %s", order.reply_to)

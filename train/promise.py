"""What thresholds promise of views to come, and what the engineer should know before trusting it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from scipy.stats import binomtest

from train.views import Mask

MOST_ESCAPING = 0.5
"""Where surely more defects than this escape, the engineer is told so wherever they look.

The lower end of the interval is held against it, so that a few views that went wrong by chance cry no wolf; and a half,
since from there on OK is what a defect is called more often than not.
"""


@dataclass(frozen=True)
class Wish:
    """What the engineer states: the share of good views that may be called NG, or of bad ones that may be called OK.

    `max_escape` counts where it is given, and then `max_false_alarm` says nothing.
    """

    max_false_alarm: float
    max_escape: float | None


@dataclass(frozen=True)
class Rate:
    """`count` of `total` views that set the thresholds went wrong, and the 95 % interval of the rate behind it."""

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, wrong: Mask, thresholds: int = 1) -> Self:
        """From one flag a view; at least one.

        `thresholds`: how many were set by the extremes of these very views. The interval is exact for one (Clopper and
        Pearson, Biometrika 26, 1934); each further one can have stopped one view fewer than it will.
        """
        count, total = int(wrong.sum()), len(wrong)
        low = binomtest(count, total).proportion_ci(0.95, "exact").low
        high = binomtest(min(count + thresholds - 1, total), total).proportion_ci(0.95, "exact").high
        return cls(count, total, float(low), float(high))


@dataclass(frozen=True)
class Promise:
    """What the thresholds promise of views to come.

    `false_alarm`: good views that some threshold stops. `defect_escape`: defects that the defect threshold lets pass;
    `real`: whether they were real ones, not made up. `wrong_part_escape`: views that the mismatch threshold lets pass
    as any other part; None where there is one part only.
    """

    false_alarm: Rate
    defect_escape: Rate
    wrong_part_escape: Rate | None
    real: bool


def remarks(promise: Promise, wish: Wish, share_kept: float) -> list[str]:
    """What the engineer should know of a promise before trusting it. `share_kept`: of the good views."""
    escapes, stated = wish.max_escape is not None, wish.max_false_alarm if wish.max_escape is None else wish.max_escape
    rates = [(promise.false_alarm, "false alarms", "good", share_kept)]
    if escapes:
        rates = [(promise.defect_escape, "escapes of defects", "defective", 1.0)]
        if promise.wrong_part_escape is not None:
            rates.append((promise.wrong_part_escape, "escapes of wrong parts", "good", share_kept))
    # With fewer, not even a clean record bounds the rate at what is stated.
    fewest = math.ceil(math.log(0.025) / math.log(1.0 - stated))
    found = [
        f"not enough views to promise {100 * stated:g} % {words}: {rate.count} of {rate.total} went wrong while "
        f"thresholds were set, so at worst {rate.high:.1%} (95 % sure); about {math.ceil(fewest / share)} {what} views "
        "could promise it"
        for rate, words, what, share in rates
        if rate.total < fewest
    ]
    if escapes and not promise.real:
        found.append("escapes were counted on made-up defects: how real ones escape is not known")
    alarms = promise.false_alarm
    if escapes and alarms.count > wish.max_false_alarm * alarms.total:
        found.append(
            f"so few escapes have their price: {alarms.count} of {alarms.total} good views that set the thresholds are "
            f"NG; a larger --max-escape stops fewer"
        )
    return found


def escape_warning(promise: Promise, figures: Mapping[str, Any]) -> str:
    """What it means, and what to do, where surely more than `MOST_ESCAPING` of the defects pass; "" where not.

    `figures`: as `judged.metrics` has them. Held-out defects are believed where they surely tell the one or the other;
    else those that set the threshold are.
    """
    rate = promise.defect_escape
    low, high = figures.get("defect_escape_low", 0.0), figures.get("defect_escape_high", 1.0)
    sure = f"{rate.low:.1%} of such defects on the line would be called OK (95 % sure)"
    if low > MOST_ESCAPING:
        found = f"would escape: {figures['defect_escapes']} of {figures['defect']} that were held out are called OK, "
        found += f"and so would be at least {low:.1%} on the line (95 % sure)"
    elif high < MOST_ESCAPING or not rate.low > MOST_ESCAPING:
        return ""
    elif promise.real:
        found = f"would escape: {rate.count} of {rate.total} passed the defect threshold, so at least {sure}"
    else:
        found = (
            f"may escape: {rate.count} of {rate.total} made-up ones passed the defect threshold, so at least {sure}; "
        )
        found += "too few real ones were held out to tell otherwise"
    wrong_part = promise.wrong_part_escape
    told = wrong_part is not None and not wrong_part.low > MOST_ESCAPING
    return (
        f"most defects {found}. Take more good views of each part, defective ones for <label>/train/defect and "
        "<label>/test/defect, or a larger view (--size, or --tiles, where the pictures have more pixels), and train "
        f"again; until then {'trust it with wrong parts alone' if told else 'its OK says little'}"
    )

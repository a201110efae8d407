"""Is the model worth it? The exam's questions again, put to simpler methods that learnt from the same views.

A method answers with one score a row, higher for what is less like the good expected part. Only how rows are ordered
is compared, so none of them needs a threshold, and a score may have any unit.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity
from sklearn.decomposition import PCA
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from edge_runtime.alignment import Alignment
from edge_runtime.picture import Image
from train.difference import GREY_LEVEL, LOUDEST, Tolerances, at_once
from train.heads import SOFTNESS, kernel
from train.judged import Flags, Judged, auroc, auroc_interval
from train.synthetic import spoil
from train.teach import floats, lacking
from train.views import DataSet, Labels, Mask, Views, aligned, strata_choice

Floats = npt.NDArray[np.floating]
Score = Callable[[Floats], Floats]
"""Of views, float [M, P], how unlike the good views each is, float [M]."""

ALARMS = 0.01
"""Share of good views that may score above where a recall is stated."""
COMPONENTS = 16
"""Directions that the PCA has at most: as many numbers as the CVAE's latent space."""
FEW = 200
"""Good views of a label up to which LAPACK is the quicker way to the components."""
WINDOW = 7
"""Side of SSIM's window: scikit-image's own."""
MOST_NUMBERS = 48_000_000
"""Pixels times channels of good views that are learnt from, 200 MB: of larger data sets a share of each label's."""
MOST_ROWS = 1000
"""Rows of each kind that teach an SVM: its time goes with the square."""
ROWS = 1000
"""Rows an SVM is asked at once: its kernel holds each against every support vector."""
FOLDS = 3
NOTHING = 1e-12
"""Keeps a unit space without any spread from dividing by nought."""


@dataclass(frozen=True)
class Answer:
    """How well a method tells one thing from another: the AUROC, its 95 % interval, the recall at `ALARMS`."""

    auroc: float
    low: float
    high: float
    recall: float

    @classmethod
    def of(cls, scores: Floats, positive: Flags) -> Self | None:
        """From scores, float [N], and which rows are looked for, bool [N]; None where there are not both kinds.

        The recall is the share of positives above all negatives but `ALARMS` of them, rounded down: of fewer than 100,
        none.
        """
        area, interval = auroc(scores, positive), auroc_interval(scores, positive)
        if area is None or interval is None:
            return None
        good = np.sort(scores[~positive])
        highest = good[len(good) - 1 - int(ALARMS * len(good) + 1e-9)]
        return cls(area, *interval, float((scores[positive] > highest).mean()))


@dataclass(frozen=True)
class Method:
    """What a method's scores tell. None: the held-out views cannot say."""

    name: str
    defect: Answer | None
    wrong_part: Answer | None


def compare(data: DataSet, judged: Judged, seed: int, alignment: Alignment | None = None) -> tuple[Method, ...]:
    """Kenpin first, then each simpler method, asked the same rows of `judged`, aligned alike.

    They learn from `data.train` alone: good views, and the SVM defective ones, too. Both questions are asked of good
    views: against defective ones, and against the same ones where another part is expected. So a method that has one
    score for both is not blamed for stopping a defective view when it is asked about wrong parts.
    """
    train = aligned(data.train, data.train.label, alignment)
    judged = judged if judged.seen is None else replace(judged, views=judged.seen)
    good = train[train.good]
    share = MOST_NUMBERS / max(1, good.images.size)
    if share < 1:
        good = good[strata_choice(good, share, FOLDS, seed)]
    scores: dict[str, tuple[Floats, Floats]] = {"kenpin": (judged.defect_score, judged.mismatch_score)}
    for name, difference in BY_DRAWING.items():
        scores[name] = (difference(judged.views, judged.reconstruction),) * 2
    for name, learn in BY_LABEL.items():
        scores[name] = (_label_by_label(learn, good, judged),) * 2
    scores["SVM without the CVAE"] = svm(good, train[train.defective], judged, len(data.labels), seed)
    truth = np.where(judged.measured, judged.truth, "")

    def answer(of: Floats, kind: str) -> Answer | None:
        asked = (truth == "good") | (truth == kind)
        return Answer.of(of[asked], truth[asked] == kind)

    return tuple(
        Method(name, answer(defect, "defect"), answer(mismatch, "wrong part"))
        for name, (defect, mismatch) in scores.items()
    )


def figures(compared: tuple[Method, ...]) -> list[dict[str, Any]]:
    """The same for `metrics.json`, and so for every bundle: short, hence four digits."""
    return [
        {"method": method.name}
        | {
            question: answer and {key: round(value, 4) for key, value in asdict(answer).items()}
            for question, answer in (("defect", method.defect), ("wrong_part", method.wrong_part))
        }
        for method in compared
    ]


def squared_error(views: Image, drawn: Image) -> Floats:
    """Mean squared difference of each view and its drawing, both uint8 [N, H, W, C]: float64 [N], in 0..1."""
    return np.array(
        [np.mean(((a.astype(np.float32) - b) / 255.0) ** 2) for a, b in zip(views, drawn, strict=True)], np.float64
    )


def dissimilarity(views: Image, drawn: Image) -> Floats:
    """1 - SSIM (Wang et al., IEEE Trans. Image Process. 13, 2004) of each view and its drawing, uint8 [N, H, W, C].

    float64 [N]: 0 for equal pictures. The window is smaller where a picture is.
    """
    side = min(views.shape[1:3])
    window = min(WINDOW, side - 1 + side % 2)

    def likeness(a: Image, b: Image) -> float:
        found = structural_similarity(a, b, win_size=window, data_range=255, channel_axis=-1)  # type: ignore[no-untyped-call]  # scikit-image ships no types
        return float(found)

    return np.array([1.0 - likeness(a, b) for a, b in zip(views, drawn, strict=True)], np.float64)


def rt(unit: Floats) -> Score:
    """The RT method (Recognition-Taguchi) of the Mahalanobis-Taguchi system: squared distances from the unit space.

    `unit`: the unit space, good views of one label, float [N, P].

    A view x is two numbers. With the unit space's mean m and r = Σ m², L = Σ m x, S_T = Σ x², S_β = L² / r and
    V_e = (S_T - S_β) / (P - 1): its sensitivity Y1 = β = L / r, and from its SN ratio η = 1 / V_e, Y2 = 1 / √η. So β
    is how strong the part's pattern is, and Y2 what does not belong to it. The distance is D² = y A yᵀ / 2, where y is
    (Y1, Y2) less the unit space's mean, and A the adjugate of its covariance, which exists where no inverse does.

    Teshima, Hasegawa and Tatebayashi, Quality Recognition and Prediction (Momentum Press, 2012), 2.4.3; so also in the
    Python package mt-system, and in the R package MTSYS but for an inverse there. A distance by an adjugate has the
    label's own unit (the determinant). Since labels are asked together here, it is told in mean distances of the unit
    space.
    """
    mean = unit.mean(axis=0, dtype=np.float64)
    own = two_variables(unit, mean)
    (a, b), (c, d) = np.cov(own, rowvar=False)
    adjugate = np.array([[d, -b], [-c, a]])

    def distance(variables: Floats) -> Floats:
        off = variables - own.mean(axis=0)
        return np.asarray(np.sum(off @ adjugate * off, axis=1) / 2)

    mean_distance = max(float(distance(own).mean()), NOTHING)
    return lambda asked: distance(two_variables(asked, mean)) / mean_distance


def two_variables(views: Floats, mean: Floats) -> Floats:
    """Y1 and Y2 of the RT method, float64 [N, 2], of views, float [N, P], and the unit space's mean, float64 [P]."""
    views = views.astype(np.float64)
    effective_divider = max(float(np.sum(mean**2)), NOTHING)
    linear = views @ mean
    error = np.sum(views**2, axis=1) - linear**2 / effective_divider
    error_variance = np.maximum(error, 0) / max(1, views.shape[1] - 1)
    return np.stack([linear / effective_divider, np.sqrt(error_variance)], axis=1)


def pca(good: Floats) -> Score:
    """Mean squared error of drawing a view by the principal components of one label's `good` ones, float [N, P]."""
    components = min(COMPONENTS, len(good) - 1, good.shape[1])
    fitted = PCA(components, svd_solver="full" if len(good) <= FEW else "randomized", random_state=0).fit(good)
    return lambda asked: np.mean((asked - fitted.inverse_transform(fitted.transform(asked))) ** 2, axis=1)


def mean_and_spread(good: Floats) -> Score:
    """Mean square of how far the loudest pixels are from the mean of one label's `good` views, float [N, P].

    Each in units of its own spread there, and no spread is finer than a grey level.
    """
    mean, spread = good.mean(axis=0), np.maximum(good.std(axis=0), GREY_LEVEL)
    loudest = max(1, int(LOUDEST * good.shape[1]))

    def score(asked: Floats) -> Floats:
        deviations = ((asked - mean) / spread) ** 2
        return np.asarray(np.partition(deviations, -loudest, axis=1)[:, -loudest:].mean(axis=1))

    return score


BY_DRAWING: dict[str, Callable[[Image, Image], Floats]] = {"squared error": squared_error, "SSIM": dissimilarity}
"""Methods that compare a view with the CVAE's drawing: better than kenpin, they say that its heads are at fault."""
BY_LABEL: dict[str, Callable[[Floats], Score]] = {"RT method": rt, "PCA": pca, "mean and spread": mean_and_spread}
"""Methods that know nothing but one label's good views."""


def _label_by_label(learn: Callable[[Floats], Score], good: Views, judged: Judged) -> Floats:
    """Scores of all rows, float64 [N], each by the good views of the label expected there."""
    scores = np.zeros(len(judged.expected))
    with threadpool_limits(1):  # on a busy machine BLAS's threads wait for each other longer than such small work takes
        for label in np.unique(judged.expected):
            score = learn(_flat(good.images[good.label == label]))
            rows = np.flatnonzero(judged.expected == label)
            step = at_once(judged.views)
            for at in range(0, len(rows), step):
                some = rows[at : at + step]
                scores[some] = score(_flat(judged.views[some]))
    return scores


def _flat(images: Image) -> Floats:
    return floats(images.reshape(len(images), -1))


@dataclass(frozen=True)
class Undrawn:
    """Kenpin's difference without its CVAE: each label's mean good view, float32 [K, H, W, C], stands for a drawing."""

    mean: npt.NDArray[np.float32]
    tolerances: Tolerances

    @classmethod
    def fit(cls, good: Views, labels: int) -> tuple[Self, npt.NDArray[np.float32]]:
        """From good views, at least two a label. Also returns their features, float32 [N, F], as `Tolerances` does."""
        view = floats(good.images)
        mean = np.stack([view[good.label == label].mean(axis=0) for label in range(labels)])
        tolerances, features = Tolerances.fit(view, mean[good.label], good.label, labels, good.good)
        return cls(mean, tolerances), features

    def features(self, images: Image, label: Labels) -> npt.NDArray[np.float32]:
        """What the SVM sees of views, uint8 [N, H, W, C], of expected labels, int [N]: float32 [N, F]."""
        found = [np.zeros((0, self.tolerances.centre.shape[1]), np.float32)]
        step = at_once(images)
        for at in range(0, len(images), step):
            view, of = floats(images[at : at + step]), label[at : at + step]
            found.append(np.asarray(self.tolerances.difference(view, self.mean[of], of)[1]))
        return np.concatenate(found)


def svm(good: Views, defective: Views, judged: Judged, labels: int, seed: int) -> tuple[Floats, Floats]:
    """Kenpin without its CVAE: the same tolerances, features and SVMs. Defect and mismatch margins, float64 [N] each.

    `good` and `defective` are training views, at least three good ones a label. With one label only there are no wrong
    parts, and the mismatch margins are all 0. The heads' calibration is left out: it changes no order.
    """
    rng = np.random.default_rng(seed)
    undrawn, right = Undrawn.fit(good, labels)
    asked = undrawn.features(judged.views, judged.expected)
    spoilt = undrawn.features(defective.images, defective.label)
    few = lacking(defective.label, labels)
    if few.any():
        spoilt = np.concatenate([spoilt, _made_up(good, few, rng)])
    right, spoilt = _some(right, rng), _some(spoilt, rng)
    defect = _margin(right, spoilt, asked)
    if labels == 1:
        return defect, np.zeros(len(asked))
    rows, step = np.divmod(_some(np.arange(len(good) * (labels - 1)), rng), labels - 1)
    wrong_label = (good.label[rows] + 1 + step) % labels
    wrong = undrawn.features(good.images[rows], wrong_label)
    return defect, _margin(np.concatenate([right, spoilt]), wrong, asked)


def _made_up(good: Views, wanted: Mask, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Features of a made-up defect on each good view of the labels that are `wanted` (bool [K]), float32 [M, F].

    Each is measured without the view it is made of:
    tolerances that know a view find it quieter, even spoilt, than they find good views that they do not know.
    """
    labels, fold = len(wanted), np.zeros(len(good), np.int64)
    for label in range(labels):
        own = np.flatnonzero(good.label == label)
        fold[own] = np.arange(len(own)) % FOLDS
    found = []
    for held in range(FOLDS):
        undrawn, _ = Undrawn.fit(good[fold != held], labels)
        base = good[(fold == held) & wanted[good.label]]
        images = np.array([spoil(view, rng) for view in base.images], np.uint8).reshape(base.images.shape)
        found.append(undrawn.features(images, base.label))
    return np.concatenate(found)


def _margin(negative: Floats, positive: Floats, asked: Floats) -> Floats:
    """How far `asked`, [M, F], lie on the positive side of an SVM like those of kenpin's heads: float64 [M]."""
    which = np.repeat([False, True], [len(negative), len(positive)])
    fitted = SVC(C=SOFTNESS, kernel=kernel, class_weight="balanced").fit(np.concatenate([negative, positive]), which)
    found = [np.zeros(0), *(fitted.decision_function(asked[at : at + ROWS]) for at in range(0, len(asked), ROWS))]
    return np.concatenate(found)


def _some(rows: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """At most `MOST_ROWS` of `rows`, at random."""
    return rows if len(rows) <= MOST_ROWS else rows[rng.choice(len(rows), MOST_ROWS, replace=False)]

"""The exam: every question asked of the views that training never saw, answered by Keras and scikit-learn."""

import numpy as np

from train.fit import Fitted
from train.judged import Judged
from train.views import DataSet, aligned

MOST_WRONG = 3
"""Wrong labels asked of each good view: with many labels, all of them would hide the other questions."""


def examine(fitted: Fitted, data: DataSet, seed: int) -> Judged:
    """Ask of each test view whether it is good as what it is, and of the good ones whether they are another part.

    The scores are scikit-learn's own, so that the export has something independent to agree with.
    """
    views, count = data.test, len(data.labels)
    rows, expected = [np.arange(len(views))], [views.label]
    rng = np.random.default_rng(seed)
    good = np.flatnonzero(views.good)
    steps = rng.permuted(np.tile(np.arange(1, count), (len(good), 1)), axis=1)[:, :MOST_WRONG]
    for step in steps.T:
        rows.append(good)
        expected.append((views.label[good] + step) % count)
    asked, wanted = views[np.concatenate(rows)], np.concatenate(expected)
    seen = aligned(asked, wanted, fitted.alignment).images
    answers = fitted.decision.judge(seen, wanted)
    tiles = fitted.decision.tiles
    features = answers["features"].reshape(len(asked) * tiles.count, -1)
    for name, classifier in fitted.classifiers.items():
        score = classifier.predict_proba(features)[:, 1].astype(np.float32)
        score = fitted.decision.doubtful(score, features) if name == "defect_score" else score
        answers[name] = np.asarray(tiles.worst(score))
    return Judged(
        asked.images,
        asked.names,
        asked.label,
        wanted,
        asked.defective,
        answers["defect_score"],
        answers["mismatch_score"],
        answers["difference"],
        answers["reconstruction"],
        np.array([not fitted.usual[of].holds(view) for view, of in zip(asked.images, wanted, strict=True)]),
        seen,
    )

"""The report holds what a person needs to decide, in one file, whatever the views are called."""

import base64
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.verdict import Thresholds
from train import charts, findings, report, thumbnails
from train.baselines import Answer, Method
from train.judged import Judged

LIMITS = Thresholds(defect=0.5, mismatch=0.5)
HISTORY = {"loss": [1.0, -2.0], "error": [0.1, 0.01], "val_error": [0.1, 0.02], "wrong_error": [0.1, 0.05]}
COMPARED = (
    Method("kenpin", Answer(0.97, 0.95, 0.99, 0.9), Answer(1.0, 0.98, 1.0, 1.0)),
    Method("PCA", Answer(0.96, 0.94, 0.98, 0.8), Answer(0.99, 0.98, 1.0, 0.9)),
)
SECTIONS = ("answer", "parts", "training", "scores", "roc", "against", "labels", "misses", "alarms", "facts")
HOSTILE = '<script>alert("x")</script>.png'


def judged(labels: int = 2, *, defects: bool = True, views: int = 8, size: int = 27, channels: int = 1) -> Judged:
    """`views` views of each label, every second one defective, each asked about under every label, at random."""
    rng = np.random.default_rng(0)
    label, view, expected = (axis.ravel() for axis in np.indices((labels, views, labels)))
    defective = (view % 2 == 1) & defects
    n = label.size
    return Judged(
        views=rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8),
        names=tuple(f"part{a}/{b}.png" for a, b in zip(label, view, strict=True)),
        label=label.astype(np.int64),
        expected=expected.astype(np.int64),
        defective=defective,
        defect_score=rng.random(n, dtype=np.float32),
        mismatch_score=rng.random(n, dtype=np.float32) * (labels > 1),
        difference=rng.random((n, size, size), dtype=np.float32) * 12,
        reconstruction=rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8),
    )


def write(
    path: Path,
    rows: Judged,
    *,
    labels: tuple[str, ...] = ("A12", "B7"),
    limits: Thresholds = LIMITS,
    history: dict[str, list[float]] = HISTORY,
    facts: Sequence[tuple[str, str]] = (("seed", "0"),),
    compared: Sequence[Method] = COMPARED,
    warning: str = "",
) -> str:
    report.write_report(
        path,
        title="harness",
        labels=labels,
        judged=rows,
        history=history,
        thresholds=limits,
        facts=facts,
        compared=compared,
        warning=warning,
    )
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what a browser would load, and what it would run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.pictures_without_words = 0
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.addresses += [value for key, value in attrs if key in ("src", "href", "srcset", "data") and value]
        self.pictures_without_words += tag == "img" and not given.get("alt")

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_report_needs_no_other_file_no_network_and_no_script(tmp_path: Path) -> None:
    html = write(tmp_path / "report.html", judged())
    page = Page(html)
    assert page.addresses, "the page shows no picture at all"
    assert [it for it in page.addresses if not it.startswith(("data:image/", "#"))] == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in html
    assert "url(" not in html


def test_every_section_is_there_and_every_picture_has_words(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", judged()))
    assert tuple(page.ids) == SECTIONS
    assert page.pictures_without_words == 0


def test_a_warning_is_read_before_the_answer(tmp_path: Path) -> None:
    words = Page(write(tmp_path / "report.html", judged(), warning="most defects would escape")).words
    assert words.index("Most defects would escape.") < words.index("What became of the views")


def test_without_a_warning_the_head_warns_of_nothing(tmp_path: Path) -> None:
    assert 'role="alert"' not in write(tmp_path / "report.html", judged())


def test_the_answer_gives_counts_rates_and_intervals() -> None:
    found = {
        "rows": 1249,
        "unsure": 0,
        "good": 352,
        "false_alarms": 5,
        "false_alarm_rate": 5 / 352,
        "false_alarm_low": 0.0061,
        "false_alarm_high": 0.0328,
        "defect": 197,
        "defect_escapes": 1,
        "defect_escape_rate": 1 / 197,
        "defect_escape_low": 0.0009,
        "defect_escape_high": 0.028,
        "wrong_part": 0,
        "wrong_part_escapes": 0,
    }
    assert findings.answer(found) == [
        "Of 352 good views 5 raise a false alarm (1.4 %, 0.6–3.3 %).",
        "Of 197 defective views 1 is called OK (0.5 %, 0.09–2.8 %).",
    ]


def test_a_single_label_says_that_wrong_parts_cannot_be_told(tmp_path: Path) -> None:
    limits = Thresholds(defect=0.5, mismatch=None)
    page = Page(write(tmp_path / "report.html", judged(1), labels=("A12",), limits=limits))
    assert "Wrong parts cannot be told" in page.words
    assert "The mismatch score has no ROC" in page.words
    assert "Wrong parts against right parts: AUROC" not in page.words


def test_no_defects_say_that_escapes_cannot_be_told(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", judged(defects=False)))
    assert "How many defects escape cannot be told" in page.words
    assert "Defects against good views: AUROC" not in page.words
    assert "No defective view was held out." in page.words
    assert "Wrong parts cannot be told" not in page.words


def test_a_label_without_defects_is_named() -> None:
    rows = judged()
    rows.defective[rows.label == 1] = False
    assert findings.untold(rows, LIMITS, ("A12", "B7")) == [
        "How many defects of B7 escape cannot be told: no defective view was held out."
    ]


def test_nothing_held_out_still_makes_a_page(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", judged(views=0), history={}))
    assert "No view was held out, so nothing can be told." in page.words
    assert "No history of the training was kept." in page.words


def test_hostile_names_are_text_not_markup(tmp_path: Path) -> None:
    rows = judged()
    rows = Judged(**{**vars(rows), "names": (HOSTILE,) * len(rows.names)})
    page = Page(write(tmp_path / "report.html", rows, labels=(HOSTILE, '"><img src=x>'), facts=((HOSTILE, HOSTILE),)))
    assert "script" not in page.tags
    assert "x" not in page.addresses
    assert HOSTILE in page.words, "the name must be shown as it is"


def test_a_score_that_is_no_number_is_said_to_be_unsure(tmp_path: Path) -> None:
    rows = judged()
    rows.defect_score[:] = np.nan
    page = Page(write(tmp_path / "report.html", rows))
    assert "32 of 32 questions end as NG unsure" in page.words
    assert "Of 8 good views 8 raise a false alarm" in page.words
    assert "No defective view is called OK." in page.words


def test_a_failure_leaves_the_old_report_and_no_half_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one")

    def disk_is_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        write(path, judged())
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "the old one"


def test_large_colour_views_of_many_labels_stay_below_the_limit_and_are_said_to_be_cut(tmp_path: Path) -> None:
    labels = report.MOST_LABELS + 1
    html = write(tmp_path / "report.html", judged(labels, views=2, size=200, channels=3), labels=tuple("abcdefghijklm"))
    assert len(html.encode()) <= report.MOST_BYTES
    assert f"The first {report.MOST_LABELS} of {labels} labels are shown" in Page(html).words


def test_the_same_views_give_the_same_file(tmp_path: Path) -> None:
    assert write(tmp_path / "a.html", judged()) == write(tmp_path / "b.html", judged())


def test_worst_misses_come_from_the_lowest_score_up_and_false_alarms_from_the_highest_down() -> None:
    rows = judged(views=60)
    rows.defect_score[np.flatnonzero(rows.truth == "good")[3]] = np.nan
    worst = findings.worst_cases(rows, LIMITS)
    assert {truth: len(chosen) for truth, chosen in worst.items()} == dict.fromkeys(worst, findings.MOST_WORST)
    said = rows.verdicts(LIMITS)
    for truth, scores in (("defect", rows.defect_score), ("wrong part", rows.mismatch_score)):
        chosen = [choice.row for choice in worst[truth]]
        escapes = scores[(rows.truth == truth) & (said == "OK")]
        assert scores[chosen].tolist() == sorted(escapes.tolist())[: findings.MOST_WORST]
    alarms = [choice.row for choice in worst["good"]]
    assert said[alarms[0]] == "NG unsure", "what has no number at all is the worst false alarm"
    highest = np.maximum(rows.defect_score, rows.mismatch_score)[alarms[1:]].tolist()
    assert highest == sorted(highest, reverse=True)


def test_a_part_is_shown_good_defective_and_the_same_one_under_a_wrong_label() -> None:
    rows = judged()
    good, defect, wrong = (choice.row for choice in findings.examples(rows, ("A12", "B7"), 1))
    assert rows.truth[[good, defect, wrong]].tolist() == ["good", "defect", "wrong part"]
    assert rows.label[[good, defect, wrong]].tolist() == [1, 1, 1]
    assert rows.names[good] == rows.names[wrong]


def test_the_label_table_counts_each_labels_own_views() -> None:
    rows = judged()
    rows.defect_score[:] = 0
    rows.mismatch_score[:] = np.where(rows.label == 0, 0, 1)
    first, second = findings.label_rows(rows, LIMITS, ("A12", "B7"))
    assert first == {
        "label": "A12",
        "alarms": "0 of 4 (0.0 %)",
        "defects": "4 of 4 (100.0 %)",
        "wrong": "8 of 8 (100.0 %)",
        "taken_for": "B7 (8)",
    }
    assert (second["alarms"], second["wrong"], second["taken_for"]) == ("4 of 4 (100.0 %)", "0 of 8 (0.0 %)", "–")


def test_a_rare_rate_does_not_read_as_none() -> None:
    assert [findings.percent(share) for share in (0, 0.0001, 0.0049, 0.0142, 1)] == [
        "0.0 %",
        "0.01 %",
        "0.5 %",
        "1.4 %",
        "100.0 %",
    ]


def test_a_heat_map_has_one_scale_and_keeps_a_fine_scratch_when_it_shrinks() -> None:
    scratch = np.zeros((300, 300), np.float32)
    scratch[:, 151] = thumbnails.FULL_SCALE
    full = np.full((80, 80), thumbnails.FULL_SCALE * 3, np.float32)
    brightest = decoded(thumbnails.heat_map(full, 80))[0, 0].tolist()
    shrunk = decoded(thumbnails.heat_map(scratch, 80))
    assert shrunk.shape == (80, 80, 3)
    assert all((row == brightest).all(axis=1).any() for row in shrunk), "the scratch is gone from some row"
    assert decoded(thumbnails.heat_map(np.full((2, 2), np.nan, np.float32), 80))[0, 0].tolist() == brightest


def test_a_small_view_is_kept_pixel_by_pixel() -> None:
    view = judged().views[0]
    assert np.array_equal(decoded(thumbnails.thumbnail(view, 80))[..., 0], view[..., 0])


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"lr": [0.1]}])
def test_no_known_history_gives_no_curves(history: dict[str, list[float]]) -> None:
    assert charts.loss_curves(history) == []


def test_one_epoch_and_values_that_are_no_numbers_still_give_curves() -> None:
    curves = charts.loss_curves({"loss": [float("nan")], "error": [0.0], "kl": [1.0]})
    assert [title for title, _ in curves] == ["loss", "squared error", "KL, nats a view"]
    assert all(re.match(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+$", plot) for _, plot in curves)


def decoded(address: str) -> npt.NDArray[np.generic]:
    png = np.frombuffer(base64.b64decode(address.removeprefix("data:image/png;base64,")), np.uint8)
    pixels = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def test_a_simpler_method_that_tells_more_is_named_with_what_to_look_at(tmp_path: Path) -> None:
    better = Method("SSIM", Answer(0.981, 0.96, 0.99, 0.9), Answer(1.0, 0.98, 1.0, 0.99))
    defects = (
        "On defects, SSIM tells more (0.981 against 0.970): the drawing tells it and the heads lose it, "
        "so look at the views that taught them before trusting this run."
    )
    assert findings.against((*COMPARED, better)) == [
        defects,
        "On wrong parts, no simpler method tells more; the nearest is SSIM (1.000 against 1.000).",
    ]
    page = Page(write(tmp_path / "report.html", judged(), compared=(*COMPARED, better)))
    assert "On defects, SSIM tells more (0.981 against 0.970)" in page.words
    assert "0.981 (0.960–0.990)" in page.words


def test_a_simpler_method_as_good_by_auroc_is_named_where_it_finds_more() -> None:
    ours, _ = COMPARED
    tied = Method("PCA", Answer(0.9701, 0.95, 0.99, 0.95), None)
    (said,) = findings.against((Method("kenpin", ours.defect, None), tied))
    assert said == (
        "On defects, PCA tells as much (0.970 against 0.970) and finds more at 1 % false alarms (95.0 % against "
        "90.0 %): look at how the parts are drawn above, and try more --epochs, before trusting this run."
    )


def test_no_simpler_method_that_tells_more_is_said_too(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", judged()))
    assert "On defects, no simpler method tells more; the nearest is PCA (0.960 against 0.970)." in page.words
    assert "On wrong parts, no simpler method tells more" in page.words


def test_a_question_that_the_views_cannot_tell_is_not_compared(tmp_path: Path) -> None:
    untold = tuple(Method(it.name, None, it.wrong_part) for it in COMPARED)
    page = Page(write(tmp_path / "report.html", judged(defects=False), compared=untold))
    assert "Wrong parts against good views" in page.words
    assert "Defects against good views" not in page.words
    nothing = tuple(Method(it.name, None, None) for it in COMPARED)
    assert "Nothing can be compared" in Page(write(tmp_path / "report.html", judged(), compared=nothing)).words

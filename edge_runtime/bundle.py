"""The bundle: one ONNX file that holds the whole decision, what it says of itself, and the engine that runs it.

`docs/format.md` states the format. `load_bundle` is its one reader, used on the line and by `export` on its draft;
`trust` says who may have written it.
"""

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.alignment import Alignment, Matrix
from edge_runtime.engine import Arrays, Engine, OnnxRuntime, one_line, out_of_memory
from edge_runtime.errors import BundleError, EngineError, remedy
from edge_runtime.picture import Image, ViewSpec, view_of_png
from edge_runtime.quality import Usual
from edge_runtime.verdict import BundleRef, Thresholds

FORMAT = "1"
PREFIX = "kenpin."
INPUTS = {"image": "tensor(uint8)", "label": "tensor(int64)"}
OUTPUTS = {
    "defect_score": "tensor(float)",
    "mismatch_score": "tensor(float)",
    "difference": "tensor(float)",
    "reconstruction": "tensor(uint8)",
    "features": "tensor(float)",
    "shortlist": "tensor(int64)",
}
SCORES = ("defect_score", "mismatch_score")

SCORE_TOLERANCE = 1e-3
"""How far a score may be from what was trained: it moves no verdict that was not a coin's toss."""
FEATURE_TOLERANCE = 0.02
"""The same for features, which have units of a good view's spread."""

MOST_VIEWS = 2**30
"""Bytes of one view for each label: naming a wrong part asks for all of them at once, and references are kept."""

MOST_BYTES = 2**31 - 1
"""ONNX is protobuf, which ends there; what is longer is another's file, and not read."""

MEMORY = "there is too little memory; end what else needs it, or give this machine more"

Floats = npt.NDArray[np.float32]

LONGEST_NAME = 255
"""Characters of a name, version or label: as many as a folder's name, which is where labels come from."""


def _readable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("holds a line break or another character that cannot be shown")
    return name


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_readable)]


class _Meta(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Golden(_Meta):
    """One view, and what the bundle must say of it on every machine. `image`: a PNG of the view, base64."""

    image: str
    label: int
    defect_score: float
    mismatch_score: float
    features: tuple[float, ...]

    @classmethod
    def of(cls, view: Image, label: int, defect_score: float, mismatch_score: float, features: Floats) -> Self:
        """A golden vector of `view`, uint8 [H, W, C], and the scores and features (float32 [F]) it must give."""
        png = cv2.imencode(".png", view)[1].tobytes()
        return cls(
            image=base64.b64encode(png).decode(),
            label=label,
            defect_score=defect_score,
            mismatch_score=mismatch_score,
            features=tuple(float(f) for f in features),
        )

    def view(self, spec: ViewSpec) -> Image:
        """The golden view, uint8 [H, W, C]. Raises ValueError where it is no picture of that size."""
        view = view_of_png(self.image)
        if view.shape != (spec.height, spec.width, spec.channels):
            raise ValueError(f"a golden view is {view.shape}, not {spec}")
        return view


class Provenance(_Meta):
    """What trained a bundle: enough to find the views again and to train it again."""

    data: str
    data_digest: str
    seed: int
    created: str
    commit: str
    packages: dict[str, str]


Bits = Literal["float16", "int8"]


class Variant(_Meta):
    """How a bundle in fewer bits differs from what was trained, on the held-out views.

    `auroc_lost`: by score, where the views can tell it. `verdicts_changed`: `of` so many questions.
    """

    precision: Bits
    auroc_lost: dict[str, float]
    verdicts_changed: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]


class BundleInfo(_Meta):
    """What a bundle says of itself. In the file, each field is one `kenpin.<field>` metadata property.

    `alignment`: what views are brought onto before the engine; None, and left out, where they are taken as they are.
    `variant`: None, and left out, where the graph computes as it was trained, in float32.
    """

    name: Name
    version: Name
    labels: Annotated[tuple[Name, ...], Field(min_length=1)]
    view: ViewSpec
    thresholds: Thresholds
    metrics: dict[str, Any]
    provenance: Provenance
    golden: Annotated[tuple[Golden, ...], Field(min_length=1)]
    usual: tuple[Usual, ...]
    alignment: Alignment | None = None
    variant: Variant | None = None

    def to_properties(self) -> dict[str, str]:
        """As ONNX metadata properties: texts as they are, the rest as JSON."""
        fields = self.model_dump(mode="json")
        return {f"{PREFIX}format": FORMAT} | {
            PREFIX + key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in fields.items()
            if value is not None
        }

    @classmethod
    def from_properties(cls, path: Path, properties: dict[str, str]) -> Self:
        """Read the properties of the file `path`. Raises BundleError where they are missing, newer or malformed."""
        if f"{PREFIX}format" not in properties:
            raise BundleError(path, "is an ONNX model, but not a kenpin bundle; write one with kenpin-export")
        if properties[f"{PREFIX}format"] != FORMAT:
            found = properties[f"{PREFIX}format"][:20]
            raise BundleError(path, f"has format {found!r}, this kenpin reads {FORMAT!r}; export it again")
        fields = {}
        for key, field in cls.model_fields.items():
            if PREFIX + key not in properties and not field.is_required():
                continue
            text = properties.get(PREFIX + key, "")
            try:
                fields[key] = text if key in ("name", "version") else json.loads(text)
            except (ValueError, RecursionError) as error:  # no JSON, a number of 10,000 digits, a list in a list in …
                raise BundleError(path, f"its {PREFIX}{key} is missing or damaged; export it again") from error
            if fields[key] is None:  # what does not count is left out
                raise BundleError(path, f"its {PREFIX}{key} is null; export it again")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BundleError(path, f"its {PREFIX}{place} is wrong ({first['msg']}); export it again") from error


@dataclass(frozen=True, slots=True)
class Findings:
    """What the bundle says of one view.

    `view`: uint8 [H, W, C], as the engine saw it, aligned. `difference`: float32 [H, W], of that, in tolerances of the
    expected part. `reconstruction`: uint8 [H, W, C], what the part should look like. `features`: float32 [F], what the
    SVM saw. `shortlist`: int64 [S], the labels that it may be if it is another part, for `find`. `origin`: where a
    pixel of these pictures lay in the view as given, which differs where it was aligned.
    """

    defect_score: float
    mismatch_score: float
    view: Image
    difference: Floats
    reconstruction: Image
    features: Floats
    shortlist: npt.NDArray[np.int64]
    origin: Matrix


@dataclass(frozen=True)
class Bundle:
    """A bundle that has proven itself on its golden vectors, ready to inspect."""

    path: Path
    info: BundleInfo
    sha256: str
    engine: Engine

    @property
    def ref(self) -> BundleRef:
        """What a verdict says of the bundle that gave it."""
        return BundleRef(name=self.info.name, version=self.info.version, sha256=self.sha256)

    def content(self) -> bytes:
        """The file's content, read again. Raises BundleError where it is no longer what proved itself."""
        data = read_bundle(self.path)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise BundleError(self.path, "was changed while it was in use; install it again")
        return data

    def on(self, engine: Engine) -> "Bundle":
        """The same bundle on another engine, which runs the same graph.

        Raises EngineError where that does not say what was trained, or does not find the same part among all labels.
        """
        other = replace(self, engine=engine)
        _replay(other)
        view = self.info.golden[0].view(self.info.view)
        labels = np.arange(len(self.info.labels), dtype=np.int64)
        (here, fits), (there, fits_there) = self.find(view, labels), other.find(view, labels)
        if here != there or not abs(fits - fits_there) <= SCORE_TOLERANCE:
            was = f"{there} ({fits_there:.4f}), not {here} ({fits:.4f})"
            raise EngineError(str(engine.setting), f"asked which part golden vector 0 shows, it finds {was}")
        return other

    def label_index(self, label: str) -> int:
        """The index of a part label. Raises BundleError, naming those it knows, where it is unknown."""
        try:
            return self.info.labels.index(label)
        except ValueError:
            known = ", ".join(self.info.labels)
            raise BundleError(self.path, f"does not know the label {label!r}; it knows: {known}") from None

    def inspect(self, view: Image, label: int) -> Findings:
        """Everything the bundle says of `view` (uint8 [H, W, C]) when the part `label` is expected."""
        aligned, origin = self._align(view, label)
        inputs: Arrays = {"image": aligned[None], "label": np.array([label], np.int64)}
        outputs = self.engine.run(list(OUTPUTS), inputs)
        return Findings(
            float(outputs["defect_score"][0]),
            float(outputs["mismatch_score"][0]),
            aligned,
            outputs["difference"][0],
            outputs["reconstruction"][0],
            outputs["features"][0],
            outputs["shortlist"][0],
            origin,
        )

    def find(self, view: Image, among: npt.NDArray[np.int64]) -> tuple[str | None, float]:
        """Which part `view` shows: the label whose drawing fits best, or None where none fits well enough.

        `among`, int64 [S]: the labels to ask, such as the shortlist of its findings. Also how well that best one fits:
        the probability that it is that part, one minus its mismatch score. Raises BundleError where the graph answers
        for other than those.
        """
        if self.info.alignment is None:
            images = view[None]  # encoded once, whatever number of labels is asked
        else:
            images = np.stack([self._align(view, int(label))[0] for label in among])
        inputs: Arrays = {"image": images, "label": among}
        mismatch = self.engine.run(["mismatch_score"], inputs)["mismatch_score"]
        if mismatch.shape != among.shape:
            raise BundleError(self.path, f"gives {mismatch.size} scores for {among.size} labels; export it again")
        mismatch = np.where((mismatch >= 0) & (mismatch <= 1), mismatch, 1.0)  # a score that is none fits nothing
        best = int(np.argmin(mismatch))
        limit = self.info.thresholds.mismatch
        fits = limit is not None and bool(mismatch[best] < limit)
        return self.info.labels[among[best]] if fits else None, float(1.0 - mismatch[best])

    def _align(self, view: Image, label: int) -> tuple[Image, Matrix]:
        """What the engine sees of `view` when `label` is expected, and where its pixels lay."""
        alignment = self.info.alignment
        return alignment.align(view, label) if alignment is not None else (view, np.eye(2, 3))


def load_bundle(path: Path, trusted_keys: Sequence[Path] = ()) -> Bundle:
    """Open the ONNX file `path`, and let it prove itself on its golden vectors.

    `trusted_keys`: files of the public keys one of which must have signed it; where there are none, anyone may have
    written it. Raises BundleError, saying what to do, where the file cannot be read, is not signed by one of them, or
    is none that `open_bundle` takes, and KeyFileError for a key that cannot be used.
    """
    data = read_bundle(path)
    if trusted_keys:
        from edge_runtime import trust  # only now: who names no keys need not wait for cryptography

        trust.check(path, data, trusted_keys)
    return open_bundle(path, data)


def read_bundle(path: Path) -> bytes:
    """The content of `path`. Raises BundleError where it cannot be read, is no file, or is too long for a bundle."""
    try:
        if not path.is_file() and path.exists():  # a pipe would let us wait, a device read for ever
            raise BundleError(path, "is no file; name one written by kenpin-export")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise BundleError(path, f"is no bundle, its {size:,} bytes are too many for ONNX")
            return file.read()
    except OSError as error:
        how = remedy(error, "name a file written by kenpin-export")
        raise BundleError(path, f"cannot be read ({error.strerror}); {how}").due_to(error) from error
    except MemoryError as error:
        raise BundleError(path, f"cannot be read, {MEMORY}").due_to(error) from error


def open_bundle(path: Path, data: bytes) -> Bundle:
    """A bundle from `data`, the content of `path`, which is not read again: what was checked is what runs.

    Raises BundleError, saying what to do, where it is no ONNX, is another's ONNX, does not keep the contract, or does
    not say of a golden view what the training box said. NaN disagrees, too.
    """
    try:
        engine = OnnxRuntime(data)
    except EngineError as error:
        if out_of_memory(error.__cause__):
            raise _too_little_memory(path, error) from error
        why = f"is no ONNX file that can be run; write one with kenpin-export ({error.why})"
        raise BundleError(path, why) from error
    try:
        info = BundleInfo.from_properties(path, engine.session.get_modelmeta().custom_metadata_map)
        bundle = Bundle(path, info, hashlib.sha256(data).hexdigest(), engine)
        _check_contract(bundle, engine)
    except UnicodeDecodeError as error:  # the engine takes a name for bytes, and so may find nothing wrong with it
        raise BundleError(path, "is damaged, a name in it is no UTF-8; export it again") from error
    try:
        _replay(bundle)
    except EngineError as error:
        if out_of_memory(error.__cause__):
            raise _too_little_memory(path, error) from error
        raise BundleError(path, f"{error.why}; do not inspect with it, export it again") from error
    return bundle


def _too_little_memory(path: Path, error: EngineError) -> BundleError:
    return BundleError(path, f"cannot be loaded, {MEMORY} ({error.why})").due_to(MemoryError())


def _check_contract(bundle: Bundle, engine: OnnxRuntime) -> None:
    """Raise BundleError where the graph's inputs and outputs are not those of the format."""
    inputs, outputs = engine.session.get_inputs(), engine.session.get_outputs()
    for kind, expected, found in (
        ("input", INPUTS, inputs),
        ("output", OUTPUTS, outputs),
    ):
        types = {tensor.name: tensor.type for tensor in found}
        for name, wanted in expected.items():
            if types.get(name) != wanted:
                has = types.get(name, "nothing")
                raise BundleError(bundle.path, f"its {kind} {name!r} is {has}, not {wanted}; export it again")
    labels = bundle.info.labels
    if len(set(labels)) < len(labels):
        [(twice, _)] = Counter(labels).most_common(1)
        raise BundleError(bundle.path, f"names the label {twice!r} twice; export it again")
    if len(bundle.info.usual) != len(labels) or (bundle.info.thresholds.mismatch is None) != (len(labels) == 1):
        raise BundleError(bundle.path, f"its metadata do not fit its {len(labels)} labels; export it again")
    spec = bundle.info.view
    if len(labels) * spec.height * spec.width * spec.channels > MOST_VIEWS:
        raise BundleError(bundle.path, f"has {len(labels)} labels, too many for views of {spec}; train fewer a bundle")
    if bundle.info.alignment is not None and not bundle.info.alignment.fits(spec, len(labels)):
        raise BundleError(bundle.path, f"its kenpin.alignment does not fit its {len(labels)} labels; export it again")
    (shape,) = (list(tensor.shape[1:]) for tensor in inputs if tensor.name == "image")
    if shape != [spec.height, spec.width, spec.channels]:
        raise BundleError(bundle.path, f"its image is {shape}, its metadata say {spec}; export it again")


def _replay(bundle: Bundle) -> None:
    """Raise EngineError where a golden vector comes out differently here than where it was trained."""
    engine = str(bundle.engine.setting)
    last = len(bundle.info.labels) - 1
    spec = bundle.info.view
    size = spec.height, spec.width
    for number, golden in enumerate(bundle.info.golden):
        try:
            found = bundle.inspect(golden.view(bundle.info.view), golden.label)
        except Exception as error:  # a damaged picture or graph fails in many ways, and each means: do not inspect
            raise EngineError(engine, f"golden vector {number} cannot be run ({one_line(error)})") from error
        scores = [abs(getattr(found, name) - getattr(golden, name)) for name in SCORES]
        agrees = all(gap <= SCORE_TOLERANCE for gap in scores) and (
            found.features.shape == (len(golden.features),)
            and bool(np.all(np.abs(found.features - golden.features) <= FEATURE_TOLERANCE))
        )
        if not agrees:
            raise EngineError(
                engine,
                f"golden vector {number} gives {found.defect_score:.4f} / {found.mismatch_score:.4f}, trained was "
                f"{golden.defect_score:.4f} / {golden.mismatch_score:.4f}",
            )
        named = found.shortlist
        told_apart = named.ndim == 1 and 0 < named.size == len(set(named.tolist()))
        if not told_apart or not 0 <= named.min() <= named.max() <= last:
            raise EngineError(engine, f"its shortlist {named.tolist()} is none of its labels")
        if found.difference.shape != size or found.reconstruction.shape != (*size, spec.channels):
            shapes = f"{found.difference.shape} and {found.reconstruction.shape}"
            raise EngineError(engine, f"its difference and reconstruction are {shapes} of a view of {spec}")
    try:
        bundle.find(bundle.info.golden[0].view(spec), np.arange(last + 1))
    except Exception as error:  # the engine's own types; whatever it is, the first wrong part would find it, too
        why = "it has fewer parts than its metadata have labels, or takes one view only"
        raise EngineError(engine, why) from error

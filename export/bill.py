"""The bill of a bundle: what trained it, as CycloneDX 1.6, which vulnerability scanners and auditors read."""

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from edge_runtime.bundle import Bundle, BundleInfo

OURS = "kenpin"
"""Our own package is not on PyPI; a package URL that says so would name another's."""
SERIALS = UUID("43154931-009c-4ae0-86c4-4ed9561389d7")
"""Drawn once: under it, a bundle's SHA-256 is the bill's serial number, so that the same bundle has the same bill."""
BRIEF = ("_rate", "_auroc")
"""How the figures end that a bill repeats; the others, and their intervals, are in the bundle and the report."""


def bill_path(bundle: Path) -> Path:
    """Where the bill of a bundle lies: beside it, `.cdx.json` for `.onnx`."""
    return bundle.with_suffix(".cdx.json")


def bill(bundle: Bundle) -> bytes:
    """The bill of `bundle`, JSON in UTF-8: its SHA-256 and held-out figures, its data set, and what trained it.

    The same bundle gives the same bytes: nothing in it is of now or of this machine. Raises ValueError where the bundle
    tells no time of training.
    """
    info, provenance = bundle.info, bundle.info.provenance
    held_out = "held-out" if info.variant is None else "held-out-in-float32"
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=info.name,
        version=info.version,
        bom_ref="bundle",
        description="a kenpin bundle: one ONNX file with the whole decision",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=bundle.sha256)],
        properties=_properties(
            {
                "labels": len(info.labels),
                "view": f"{info.view.width}x{info.view.height}x{info.view.channels}",
                "seed": provenance.seed,
                "commit": provenance.commit,
                **{f"{held_out}:{name}": value for name, value in info.metrics.items() if name.endswith(BRIEF)},
                **_narrower(info),
            }
        ),
    )
    data = Component(
        type=ComponentType.DATA,
        name=provenance.data,
        bom_ref="data",
        description="the views it was trained and examined on; the hash is over the name, use and SHA-256 of each",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=provenance.data_digest)],
    )
    packages = [_package(name, version) for name, version in provenance.packages.items()]
    bom = Bom(
        serial_number=uuid5(SERIALS, bundle.sha256),
        metadata=BomMetaData(
            component=model,
            timestamp=datetime.fromisoformat(provenance.created),
            tools=ToolRepository(components=[Component(type=ComponentType.APPLICATION, name="kenpin-export")]),
        ),
        components=[data, *packages],
    )
    bom.register_dependency(model, [data, *packages])
    return (JsonV1Dot6(bom).output_as_string(indent=2) + "\n").encode()


def _narrower(info: BundleInfo) -> dict[str, Any]:
    """What is to be said of a bundle in fewer bits."""
    if info.variant is None:
        return {}
    lost = {f"auroc-lost:{name}": loss for name, loss in info.variant.auroc_lost.items()}
    changed = f"{info.variant.verdicts_changed} of {info.variant.of}"
    return {"precision": info.variant.precision, **lost, "verdicts-changed": changed}


def _package(name: str, version: str) -> Component:
    """A package of the environment that trained."""
    purl = None if name == OURS else PackageURL("pypi", name=name, version=version)
    return Component(type=ComponentType.LIBRARY, name=name, version=version, bom_ref=f"{name}@{version}", purl=purl)


def _properties(facts: dict[str, Any]) -> list[Property]:
    """What CycloneDX has no field for. A fact that is "" is not known, and left out."""
    return [
        Property(name=f"kenpin:{name}", value=f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in facts.items()
        if value != ""
    ]

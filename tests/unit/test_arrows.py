"""Who may import whom. The line PC's package must not grow into the training box's."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "edge_runtime": {
        "train",
        "export",
        "demo",
        "tensorflow",
        "keras",
        "sklearn",
        "scipy",
        "matplotlib",
        "jinja2",
        "onnx",
        "cyclonedx",
    },
    "train": {"export", "demo", "tensorflow"},  # TensorFlow only through Keras, so that JAX or PyTorch can train, too
    "export": {"demo"},
}


def imports(path: Path) -> Iterator[str]:
    """The top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_arrow_points_the_wrong_way(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules
        for name in imports(path)
        if name in FORBIDDEN[package]
    }
    assert not wrong


def test_the_line_loads_nothing_of_the_training_box() -> None:
    heavy = sorted(FORBIDDEN["edge_runtime"])
    code = (
        "import sys, edge_runtime.daemon, edge_runtime.score, edge_runtime.watch\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

"""The architecture, held by reading every module's imports: they point one way."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("accounts", "aister_site", "inference")

# inference/: a module imports its own layer and those before it; what is not named here is the last layer
LAYERS = (
    ("errors", "protocol", "catalog", "fairness", "memory"),
    ("engines",),
    ("scheduling", "manager"),
    ("outages", "tasks", "usage", "models"),
    ("apps", "callers", "exchange", "http", "outbox", "response", "revocation", "sessions"),
)
WITHOUT_DJANGO = ("errors", "protocol", "catalog", "fairness", "memory", "engines", "scheduling", "manager")
DJANGO = {"django", "channels", "daphne", "accounts", "aister_site"}
MODELS = {"torch", "transformers", "ctranslate2", "tokenizers", "safetensors", "sentencepiece"}


def modules(package: str) -> list[Path]:
    """Return the files of a package, relative to the repository."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, anywhere in it; of `from a import b`, both `a` and `a.b`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(path: Path) -> str:
    """Return which part of its package a file belongs to: `engines` for inference/engines/base.py."""
    return path.parts[1].removesuffix(".py")


def layer(name: str) -> int:
    """Return the layer of a part of inference/."""
    return next((number for number, names in enumerate(LAYERS) if name in names), len(LAYERS))


@pytest.mark.parametrize("path", modules("inference"), ids=str)
def test_inference_imports_point_one_way(path: Path) -> None:
    own = layer(part(path))
    above = {
        name
        for name in imports(path)
        if name.startswith("inference.") and layer(name.split(".")[1]) > own and part(path) != "__init__"
    }
    assert not above, f"{path} imports from a layer above its own"


@pytest.mark.parametrize("path", [p for p in modules("inference") if part(p) in WITHOUT_DJANGO], ids=str)
def test_the_model_layer_knows_no_django(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in DJANGO}


@pytest.mark.parametrize("path", modules("accounts"), ids=str)
def test_accounts_never_imports_inference(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "inference"}


@pytest.mark.parametrize("path", [p for package in PACKAGES for p in modules(package)], ids=str)
def test_only_engines_import_what_models_run_on(path: Path) -> None:
    if path.parts[:2] != ("inference", "engines"):
        assert not {name for name in imports(path) if name.split(".")[0] in MODELS}


def test_nothing_that_models_run_on_is_imported_before_a_model_is_loaded(tmp_path: Path) -> None:
    code = "import sys, aister_site.asgi; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "aister_site.settings", "AISTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not MODELS & set(done.stdout.split())

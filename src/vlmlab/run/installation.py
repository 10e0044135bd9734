"""`python -m vlmlab.run.installation`: says in plain words whether the installed libraries work together."""

from __future__ import annotations

import importlib.util
import sys

NEEDED = (3, 11)

TORCHVISION = (
    "torchvision is installed but does not load with this torch; every transformers model then fails to import. "
    "vlmlab does not need it: run `pip uninstall torchvision`"
)


def check() -> str | None:
    """Return what is wrong, or None. A torchvision built for CUDA fails to load with a CPU build of torch."""
    if sys.version_info[:2] < NEEDED:
        return f"vlmlab needs Python {NEEDED[0]}.{NEEDED[1]} or newer; found {sys.version.split()[0]}"
    if importlib.util.find_spec("torchvision") is not None:
        try:
            import torchvision  # noqa: F401  # ty: ignore[import-not-found]
        except (ImportError, RuntimeError) as error:
            return f"{TORCHVISION} ({error})"
    return None


def main() -> None:
    problem = check()
    if problem is not None:
        sys.exit(f"installation: {problem}")


if __name__ == "__main__":
    main()

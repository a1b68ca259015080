"""Print every requirement of pyproject.toml pinned to its lower bound, one a line, as constraints for pip.

`make test-oldest` runs the fast tests on them: bounds that nobody has tried are guesses.
"""

import re
import tomllib
from pathlib import Path

EXTRAS = ("test", "cluster")


def lower_bounds() -> dict[str, str]:
    """Name to the oldest version allowed, for the package and what its tests need."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = sum((project["optional-dependencies"][extra] for extra in EXTRAS), project["dependencies"])
    found = [re.match(r"([A-Za-z0-9._-]+)>=([\w.]+)", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in lower_bounds().items()))

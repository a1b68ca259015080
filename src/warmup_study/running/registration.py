"""Registration: digests of a chapter's rules and of its analysis, taken before it trains, to tell if either changed.

The rules are the margins of claims.toml and the chapter's own claims in it; the analysis is the code of the chapter's
analysis and of the rooms `statistics` and `claims`. Comments, docstrings and layout do not count, nor do other
chapters.
"""

import hashlib
import json
import tomllib
from pathlib import Path

from warmup_study.training.code_hash import without_prose

PACKAGE = Path(__file__).parents[1]


def digests(notebook: str, package: Path = PACKAGE) -> dict[str, str]:
    """What is registered of a chapter: hexadecimal digests of its rules and of its analysis as they stand now."""
    return {"rules": _digest(_rules(notebook, package)), "analysis": _digest(_analysis(notebook, package))}


def _rules(notebook: str, package: Path) -> str:
    content = tomllib.loads((package / "claims" / "claims.toml").read_text(encoding="utf-8"))
    own = [row for row in content["claim"] if row["notebook"] == notebook]
    return json.dumps([content["margin"], own], sort_keys=True)


def _analysis(notebook: str, package: Path) -> str:
    chapter = package / "chapters" / notebook.lstrip("0123456789_")
    places = (chapter.glob("analysis*"), (package / room for room in ("statistics", "claims")))
    files = sorted(file for paths in places for path in paths for file in (path, *path.rglob("*.py")) if file.is_file())
    return "\n".join(
        f"{file.relative_to(package)}\n{without_prose(file.read_text(encoding='utf-8'))}" for file in files
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

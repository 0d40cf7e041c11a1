"""Says which Pythons and Djangos a run of tox has tried, and which it has not.

    python scripts/tried.py REPORT [ENVIRONMENT ...]

REPORT is what `tox --result-json` wrote; the environments named after it
were tried in another way. tox skips what has no Python, and is green. This
names what was skipped, and fails where its Python is there all the same.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

COMBINATION = re.compile(r"py3(\d+)-django(\d)(\d)")


def is_there(python: str) -> bool:
    """Whether that Python is on the PATH and starts; a shim that stands for none does not."""
    path = shutil.which(python)
    return path is not None and subprocess.run([path, "--version"], capture_output=True).returncode == 0


def summed_up(
    report: dict[str, bool], tried: list[str], there: Callable[[str], bool] = is_there
) -> tuple[list[str], bool]:
    """What to print of the environments, each with whether it was skipped, and whether all is well."""
    lines, well = [], True
    by_django: dict[str, list[str]] = {}
    for name, skipped in sorted((report | dict.fromkeys(tried, False)).items()):
        if (found := COMBINATION.fullmatch(name)) is None:
            continue
        python = f"python3.{found[1]}"
        with_this = by_django.setdefault(f"Django {found[2]}.{found[3]}", [])
        if not skipped:
            with_this.append(python)
        elif there(python):
            well = False
            lines.append(f"SKIPPED {name}, though {python} is there")
        else:
            lines.append(f"not tried: {name}, for want of {python}")
    for django, pythons in by_django.items():
        lines.append(
            f"{django}: {', '.join(pythons) or 'NOT TRIED AT ALL: this machine has no Python for it'}"
        )
    return lines, well


def main(report: str, *tried: str) -> int:
    environments = json.loads(Path(report).read_text())["testenvs"]
    skipped = {name: bool(found.get("result", {}).get("skipped")) for name, found in environments.items()}
    lines, well = summed_up(skipped, list(tried))
    print("\n".join(lines))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

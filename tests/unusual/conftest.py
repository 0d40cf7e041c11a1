"""A host of its own: a call of its own, with `--ds=tests.unusual.settings -p no:asyncio`."""

from __future__ import annotations

import os

if os.environ.get("DJANGO_SETTINGS_MODULE") == "tests.unusual.settings":
    from tests.unusual.fixtures import chromium, client, host, visit

    __all__ = ["chromium", "client", "host", "visit"]
else:
    collect_ignore_glob = ["*.py"]

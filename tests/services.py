"""What tests need beside Python: skipped by name where missing, failed where `LIVESIM_REQUIRE` names it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest

from scripts import services

PARTS = ("redis", "postgres", "chromium", "node", "nginx", "axe")


def required(part: str) -> bool:
    """Whether `LIVESIM_REQUIRE` (comma-separated) names this part."""
    return part in os.environ.get("LIVESIM_REQUIRE", "").split(",")


def missing(part: str, why: str) -> NoReturn:
    """Skip the test, or fail it where the part is required."""
    if required(part):
        pytest.fail(f"{part} is required by LIVESIM_REQUIRE and missing: {why}", pytrace=False)
    pytest.skip(f"{part}: {why}")


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """The URL of `REDIS_URL`, else of a private server."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    try:
        service = services.redis()
        with service as url:
            yield url
    except services.Missing as exc:
        missing("redis", str(exc))


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of `DATABASE_URL` where that is PostgreSQL, else of a private cluster."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given
        return
    try:
        with services.postgres() as url:
            yield url
    except services.Missing as exc:
        missing("postgres", str(exc))


def executable(part: str, *names: str) -> str:
    """The path of the first of these programs on the PATH; skips or fails where there is none."""
    for name in names or (part,):
        if found := shutil.which(name):
            return found
    missing(part, f"none of {', '.join(names or (part,))} on the PATH")

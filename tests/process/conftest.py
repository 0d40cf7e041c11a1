from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _patient(patient: None) -> None:
    """The worker is another process, and may have to wait for a core."""

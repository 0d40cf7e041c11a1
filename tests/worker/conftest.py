from __future__ import annotations

from tests.test_bus import bad_redis

__all__ = ["bad_redis"]

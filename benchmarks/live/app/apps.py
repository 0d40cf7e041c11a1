from __future__ import annotations

from django.apps import AppConfig


class LiveBench(AppConfig):
    name = "benchmarks.live.app"
    label = "live_bench"

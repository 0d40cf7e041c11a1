from __future__ import annotations

from django.apps import AppConfig


class PageBench(AppConfig):
    name = "benchmarks.page.app"
    label = "page_bench"

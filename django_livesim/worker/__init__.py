"""The process that steps runs: puts store, bus and runtime together."""

from __future__ import annotations

from django_livesim.worker.background import start_background
from django_livesim.worker.doorbell import RunsConsumer
from django_livesim.worker.engine import Engine
from django_livesim.worker.process import serve

__all__ = ["Engine", "RunsConsumer", "serve", "start_background"]

"""What runs cost, and how late they are, in plain words with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from django_livesim.gateway import harming
from django_livesim.gateway.vitals import told_of_tasks
from django_livesim.models import Run
from django_livesim.protocol.loads import RunLoad, Unsent, unsent

NOTHING = "\N{EN DASH}"


def load_words(run: Run) -> dict[str, str]:
    """`cpu`, `step`, `late` and `size` of a run, as its worker told them last."""
    told = harming.load(run)
    return dict.fromkeys(("cpu", "step", "late", "size"), NOTHING) if told is None else words(told)


def words(load: RunLoad) -> dict[str, str]:
    passed = _("%(count)s ticks passed over") % {"count": load.late} if load.late else ""
    late = _("at most %(time)s") % {"time": duration(load.behind)} if load.behind >= 0.001 else _("no")
    return {
        "cpu": share(load.cpu),
        "step": duration(load.step) if load.step else NOTHING,
        "late": f"{late}; {passed}" if passed else late,
        "size": filesizeformat(load.size) if load.size else NOTHING,
    }


def worker_words(load: Mapping[str, Any]) -> list[str]:
    """What a worker told of itself, each part with its unit; what it did not tell is left out."""
    told: list[str] = []
    if tasks := told_of_tasks(load):
        counts = {"running": tasks.get("running", 0), "threads": tasks.get("threads", 0)}
        told.append(_("calls tasks, %(running)s of %(threads)s at once now") % counts)
    if "cpu" in load:
        told.append(_("%(share)s of one core") % {"share": share(load["cpu"])})
    if "memory" in load:
        told.append(_("%(size)s of memory") % {"size": filesizeformat(load["memory"])})
    if "peak" in load:
        told.append(_("%(size)s at most") % {"size": filesizeformat(load["peak"])})
    if load.get("late") is not None:
        told.append(_("99 of 100 ticks at most %(time)s late") % {"time": duration(load["late"])})
    return told + _unsent_words(unsent(load))


def _unsent_words(lost: Unsent) -> list[str]:
    """What viewers have missed, where they have."""
    told: list[str] = []
    if lost.dropped:
        told.append(_("%(count)s messages that the channel layer did not take") % {"count": lost.dropped})
    if lost.too_large:
        told.append(_("%(count)s messages too large to be sent") % {"count": lost.too_large})
    if lost.not_finite:
        told.append(_("%(count)s numbers of views shown as null") % {"count": lost.not_finite})
    return told


def share(cpu: float) -> str:
    return f"{100 * cpu:.1f}\N{NO-BREAK SPACE}%" if cpu < 0.0995 else f"{100 * cpu:.0f}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    if seconds < 0.001:
        return _("%(count)s µs") % {"count": f"{seconds * 1e6:.0f}"}
    if seconds < 1:
        return _("%(count)s ms") % {"count": f"{seconds * 1e3:.3g}"}
    return _("%(count)s s") % {"count": f"{seconds:.1f}"}

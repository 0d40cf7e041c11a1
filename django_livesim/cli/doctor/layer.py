"""The channel layer: whether it brings messages, and how it is set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from django_livesim import checks, conf
from django_livesim.bus.layers import is_local
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem
from django_livesim.gateway import vitals

ROUND_TRIP = 3.0  # seconds
CORE = "channels_redis.core.RedisChannelLayer"
LEAST = {
    "capacity": (100, 100, "messages a channel keeps; what comes above them is dropped"),
    "expiry": (60, 10, "seconds a message is kept"),
    "group_expiry": (86400, 60, "seconds a page stays in its group; it joins again every five"),
}
"""Of the core layer, by setting: its default, what is expected at least, and what it is."""


def layer_config() -> Mapping[str, Any]:
    """The entry of CHANNEL_LAYERS that is used."""
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    return layers.get(conf.settings.CHANNEL_LAYER) or {}


def lines() -> str:
    """The settings that are recommended."""
    return checks.LAYER_LINES % conf.settings.CHANNEL_LAYER


def look_at_trip() -> Iterator[Finding]:
    """A message to ourselves."""
    sign = vitals.look_at_layer(ROUND_TRIP)
    if not is_local():
        message = f"{sign.figures['backend']} brought a message back in {sign.figures['ms']:.0f} ms"
        yield ok("layer", message)
    elif sign.problem:
        message = "none between processes, and DEBUG is off: pages get no frames"
        yield problem("layer", message, hint=lines())
    else:
        message = "none between processes; runserver steps runs itself"
        yield ok("layer", message)


def look_at_settings() -> Iterator[Finding]:
    """What the core layer of channels_redis loses, by which settings. The check W001 tells of timeouts."""
    if layer_config().get("BACKEND") != CORE:
        return
    yield advice(
        "layer",
        "the core layer drops without a word what comes above its capacity, and where several wait on one"
        " channel it doubles and reorders messages. Expected: RedisPubSubChannelLayer",
        hint=f"Set:\n{lines()}",
    )
    config = layer_config().get("CONFIG", {})
    hosts = config.get("hosts") or []
    if len(hosts) > 1:
        yield problem(
            "layer",
            f"the core layer has {len(hosts)} hosts, and loses messages between them. Expected: one",
            hint="Name one host, or use RedisPubSubChannelLayer, which takes several.",
        )
    for key, (default, least, what) in LEAST.items():
        if (given := config.get(key, default)) < least:
            yield problem(
                "layer",
                f'"{key}" is {given}. Expected: {least} or more, {what}',
                hint=f'Set in CONFIG of CHANNEL_LAYERS: "{key}": {default}',
            )

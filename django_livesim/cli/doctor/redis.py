"""The Redis behind the channel layer: what it does when memory runs out, and what it stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from django_livesim.cli.doctor.finding import Finding, advice, ok, problem
from django_livesim.cli.doctor.layer import CORE, layer_config

LIMIT = 3.0  # seconds for a server to answer
ASKED = ("maxmemory", "maxmemory-policy", "save", "appendonly")


def look() -> Iterator[Finding]:
    """Each host of the layer, where that is one of channels_redis."""
    config = layer_config()
    if not config.get("BACKEND", "").startswith("channels_redis."):
        return
    from channels_redis.utils import decode_hosts

    for host in decode_hosts(config.get("CONFIG", {}).get("hosts")):
        info, said = asyncio.run(_ask(host))
        yield from _server(info, said, keeps_keys=config["BACKEND"] == CORE)


async def _ask(host: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[Any, Any]]:
    """What the server tells of itself, and of its settings; hosted ones keep these to themselves."""
    from channels_redis.utils import create_pool
    from redis import asyncio as aioredis
    from redis.exceptions import ResponseError

    client = aioredis.Redis(connection_pool=create_pool(dict(host)))
    try:
        async with asyncio.timeout(LIMIT):
            info = await client.info()
            try:
                return info, await client.config_get(*ASKED)
            except ResponseError:
                return info, {}
    finally:
        await client.aclose(close_connection_pool=True)


def _server(info: Mapping[str, Any], said: Mapping[Any, Any], *, keeps_keys: bool) -> Iterator[Finding]:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    limited = int(info.get("maxmemory", 0)) > 0
    if keeps_keys and limited and policy != "noeviction":
        yield problem(
            "redis",
            f"maxmemory-policy is {policy}: when memory runs out, messages and groups are removed."
            " Expected: noeviction",
            hint="Run: redis-cli config set maxmemory-policy noeviction\nand the same in redis.conf, or use"
            " RedisPubSubChannelLayer, which keeps no keys.",
        )
    if said.get("save") or said.get("appendonly") == "yes":
        how = "appendonly yes" if said.get("appendonly") == "yes" else f'save "{said["save"]}"'
        yield advice(
            "redis",
            f"it writes to disk ({how}); nothing of the channel layer needs to outlive it."
            " Expected: that it stores nothing",
            hint="Where nothing else is in it, run:"
            '\nredis-cli config set save ""'
            "\nredis-cli config set appendonly no"
            "\nand have redis.conf say the same.",
        )
    version = info.get("valkey_version") or info.get("redis_version", "of unknown version")
    memory = int(info.get("used_memory", 0)) / 1e6
    most = f" of {int(info['maxmemory']) / 1e6:.0f}" if limited else ""
    message = (
        f"{version} uses {memory:.0f}{most} MB, {policy}, for {info.get('connected_clients', '?')} clients"
    )
    yield ok("redis", message)

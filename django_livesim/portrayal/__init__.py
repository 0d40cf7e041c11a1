"""How a view is drawn on the page of its run: what authors declare, as data that the browser draws by."""

from __future__ import annotations

from typing import Any

from django_livesim.portrayal.layers import Click, Grid, Layer, Network, Points

__all__ = ["Click", "Grid", "Layer", "Network", "Points", "layers_of"]


def layers_of(target: Any) -> tuple[Layer, ...]:
    """What a class or loop declares of its picture, the undermost layer first; none where it declares none.

    Raises TypeError where that is anything else, and what the author's own code raises.
    """
    declare = target.portray_function if target.is_loop else target.portray
    shown = (declare() if declare is not None else None) or ()
    layers = (shown,) if isinstance(shown, Layer) else tuple(shown)
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"it returned {layer!r}")
    return layers

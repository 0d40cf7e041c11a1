"""Mesa's own models, wrapped in the sandbox, do what the bare models do."""

from __future__ import annotations

import ast
from pathlib import Path
from uuid import uuid4

import pytest

mesa = pytest.importorskip("mesa.examples", reason="mesa: not installed")

from django_livesim import registry  # noqa: E402  (after the skip)
from django_livesim.simulation import Host, RunInfo  # noqa: E402
from sandbox.mesa_models import simulations  # noqa: E402

for model in (simulations.Boids, simulations.Schelling):  # the other tests have no Mesa
    registry.unregister(model.name)

SEED = 20
STEPS = 200


def hosted(simulation, **params):
    """A wrapped model as a worker would set it up."""
    made = simulation()
    made._host = Host(run=RunInfo(id=uuid4(), simulation=simulation.name, seed=SEED))
    made.setup(**params)
    return made


def schelling_agents(model):
    return [(a.unique_id, a.cell.coordinate, a.type, a.happy, a.homophily, a.radius) for a in model.agents]


def boids(model):
    return [(b.unique_id, b.position.tolist(), b.direction.tolist(), float(b.angle)) for b in model.agents]


@pytest.mark.parametrize("homophily", [0.4, 0.8])
def test_schelling_equals_the_bare_model_for_200_steps(homophily):
    wrapped = hosted(simulations.Schelling, size=20, density=0.8, homophily=homophily)
    bare = mesa.Schelling(20, 20, 0.8, homophily=homophily, seed=SEED)
    for _ in range(STEPS):
        wrapped.step(0.25)
        bare.step()
        assert schelling_agents(wrapped.model) == schelling_agents(bare)
    people = [[*agent.cell.coordinate, agent.type, agent.happy] for agent in bare.agents]
    assert wrapped.view("view") == {"width": 20, "height": 20, "people": people}


def test_boids_equal_the_bare_model_for_200_steps():
    wrapped = hosted(simulations.Boids, birds=40)
    bare = mesa.BoidFlockers(population_size=40, seed=SEED)
    for _ in range(STEPS):
        wrapped.step(0.1)
        bare.step()
        assert boids(wrapped.model) == boids(bare)
    birds = [[*boid.position.tolist(), *boid.direction.tolist()] for boid in bare.agents]
    assert wrapped.view("view") == {"size": [100, 100], "birds": birds}


@pytest.mark.parametrize("name", ["Schelling", "Boids"])
def test_each_wrapper_takes_at_most_30_lines(name):
    tree = ast.parse(Path(simulations.__file__).read_text())
    (wrapper,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    assert wrapper.end_lineno - wrapper.decorator_list[0].lineno + 1 <= 30

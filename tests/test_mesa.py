"""Mesa's own models, wrapped in the sandbox, do what the bare models do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

mesa = pytest.importorskip("mesa.examples", reason="mesa: not installed")

from django_livesim import registry  # noqa: E402  (after the skip)
from django_livesim.testing import Trial, assert_deterministic  # noqa: E402
from sandbox.mesa_models import simulations  # noqa: E402

for model in (simulations.Boids, simulations.Schelling):  # the other tests have no Mesa
    registry.unregister(model.name)

SEED = 20
STEPS = 200


def schelling_agents(model):
    return [(a.unique_id, a.cell.coordinate, a.type, a.happy, a.homophily, a.radius) for a in model.agents]


def boids(model):
    return [(b.unique_id, b.position.tolist(), b.direction.tolist(), float(b.angle)) for b in model.agents]


@pytest.mark.parametrize("homophily", [0.4, 0.8])
def test_schelling_equals_the_bare_model_for_200_steps(homophily):
    params = {"size": 20, "density": 0.8, "homophily": homophily}
    wrapped = Trial(simulations.Schelling, params, seed=SEED)
    bare = mesa.Schelling(20, 20, 0.8, homophily=homophily, seed=SEED)
    for _ in range(STEPS):
        wrapped.step()
        bare.step()
        assert schelling_agents(wrapped.simulation.model) == schelling_agents(bare)
    people = [[*agent.cell.coordinate, agent.type, agent.happy] for agent in bare.agents]
    assert wrapped.view() == {"width": 20, "height": 20, "people": people}


def test_boids_equal_the_bare_model_for_200_steps():
    wrapped = Trial(simulations.Boids, {"birds": 40}, seed=SEED)
    bare = mesa.BoidFlockers(population_size=40, seed=SEED)
    for _ in range(STEPS):
        wrapped.step()
        bare.step()
        assert boids(wrapped.simulation.model) == boids(bare)
    birds = [[*boid.position.tolist(), *boid.direction.tolist()] for boid in bare.agents]
    assert wrapped.view() == {"size": [100, 100], "birds": birds}


@pytest.mark.parametrize(
    ("simulation", "params"), [(simulations.Schelling, {"size": 12}), (simulations.Boids, {"birds": 15})]
)
def test_a_model_goes_on_as_it_would_have_when_its_worker_dies(simulation, params):
    assert_deterministic(simulation, params, steps=60)


@pytest.mark.parametrize("name", ["Schelling", "Boids"])
def test_each_wrapper_takes_at_most_30_lines(name):
    tree = ast.parse(Path(simulations.__file__).read_text())
    (wrapper,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    assert wrapper.end_lineno - wrapper.decorator_list[0].lineno + 1 <= 30

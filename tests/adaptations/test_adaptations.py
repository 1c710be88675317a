"""What each adaptation says learns, at which rate and for how long. Whether it then does is for the core's tests."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core import tiny
from tfvertical import stages
from tfvertical.adaptations.discriminative import Discriminative
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.adaptations.stages import adaptation_of
from tfvertical.errors import ConfigError, TfverticalError
from tfvertical.objectives.cross_entropy import CrossEntropy
from tfvertical.registry import Registry, to_config
from tfvertical.stages import Stage

FOUR: Any = SimpleNamespace(blocks=["b0/", "b1/", "b2/", "b3/"])


def table(adaptation: Any, epochs: int = 3) -> list[tuple[str, dict[str, float], int]]:
    return [(stage.name, dict(stage.rates), stage.epochs) for stage in adaptation.stages(FOUR, epochs)]


def test_frozen():
    assert table(Frozen()) == [("head", {"head/": 1.0}, 3)]


def test_full_fine_tuning():
    assert table(FullFineTuning(backbone_rate=0.2)) == [("all", {"head/": 1.0, ".*": 0.2}, 3)]
    assert [(name, length) for name, _, length in table(FullFineTuning(head_epochs=5))] == [("head", 5), ("all", 3)]


def test_discriminative_falls_by_its_decay_a_block():
    ((name, rates, length),) = table(Discriminative(backbone_rate=0.1, decay=2.0))
    assert (name, length) == ("discriminative", 3)
    assert rates == {"head/": 1.0, "b3/": 0.1, "b2/": 0.05, "b1/": 0.025, "b0/": 0.0125}
    assert Discriminative().decay == 2.6


def test_gradual_unfreezing_goes_from_the_output_down():
    alone = table(GradualUnfreezing(blocks=2, step=2, head_epochs=0))
    assert [(name, length) for name, _, length in alone] == [("top 2", 3)]
    found = table(GradualUnfreezing(blocks=3, backbone_rate=0.1, head_epochs=7, epochs_per_block=2, final_epochs=9))
    assert [name for name, _, _ in found] == ["head", "top 1", "top 2", "top 3"]
    assert [length for _, _, length in found] == [7, 2, 2, 9]
    assert found[2][1] == {"head/": 1.0, "b3/": 0.1, "b2/": 0.1}
    assert table(GradualUnfreezing(blocks=2, head_rate=0.3))[1][1]["head/"] == 0.3
    assert table(GradualUnfreezing(blocks=2, decay=2.0))[2][1] == {"head/": 1.0, "b3/": 0.1, "b2/": 0.05}


@given(st.one_of(st.none(), st.integers(1, 4)), st.integers(1, 6))
def test_steps_end_with_all_the_blocks_that_were_asked_for(blocks: int | None, step: int):
    found = table(GradualUnfreezing(blocks=blocks, step=step))
    depths = [len(rates) - 1 for _, rates, _ in found]
    assert depths[0] == 0 and depths[-1] == (blocks or 4)
    assert depths == sorted(set(depths)) and all(b - a <= step for a, b in pairwise(depths))


@pytest.mark.parametrize(
    ("adaptation", "options"),
    [
        (GradualUnfreezing, {"blocks": 0}),
        (GradualUnfreezing, {"step": 0}),
        (GradualUnfreezing, {"head_epochs": -1}),
        (GradualUnfreezing, {"decay": 0.5}),
        (GradualUnfreezing, {"blocks": 5}),
        (GradualUnfreezing, {"backbone_rate": -1.0}),
        (FullFineTuning, {"head_epochs": -1}),
        (FullFineTuning, {"backbone_rate": float("nan")}),
        (Discriminative, {"decay": 0.0}),
        (Discriminative, {"head_epochs": -1}),
    ],
)
def test_what_cannot_be_is_said(adaptation: Any, options: dict[str, Any]):
    with pytest.raises(TfverticalError):
        adaptation(**options).stages(FOUR, 3)


def test_too_many_blocks_say_how_many_there_are():
    with pytest.raises(ConfigError, match=r"blocks is 5, but the backbone has 4[\s\S]*1…4"):
        GradualUnfreezing(blocks=5).stages(FOUR, 1)


def test_stages_of_ones_own_can_be_given_as_a_list_and_written_down():
    given = [Stage("head", {"head/": 1.0}, 1), Stage("all", {".*": 0.1}, 2, objective=CrossEntropy(focal=2.0))]
    made = adaptation_of(given)
    assert list(made.stages(FOUR, 9)) == given
    written = json.loads(json.dumps(to_config(made)))
    assert written["in_order"][1]["objective"] == {"name": "CrossEntropy", "label_smoothing": 0.0, "focal": 2.0}
    assert adaptation_of(written) == made
    assert adaptation_of(None) == adaptation_of("Frozen") == adaptation_of({"name": "frozen"}) == Frozen()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no stages"),
        ([Frozen()], "Stage 1 is none"),
        ([{"name": "a", "rate": {}, "epochs": 1}], "no 'rate'. Nearest: 'rates'"),
        ([{"name": "a", "rates": {"head/": 1}}], "epochs must be given"),
        ([{"name": "a", "rates": {"head/": "1"}, "epochs": 1}], "rates is .* Expected: pattern -> number"),
        ([{"name": "a", "rates": {"head/": 1}, "epochs": True}], "epochs is True"),
        ([{"name": "a", "rates": {"head/": 1}, "epochs": 1, "objective": "CrosEntropy"}], "Nearest: 'CrossEntropy'"),
        ([Stage("a", {"head/": 1}, 1, objective=object())], "dataclass"),
        (Stage("a", {"head/": 1}, 1), "put it into a list"),
        (Frozen, "call it"),
        ("Frozn", "Nearest: 'Frozen'"),
    ],
)
def test_what_is_no_adaptation_is_told(given: Any, said: str):
    with pytest.raises(ConfigError, match=said):
        adaptation_of(given)


@pytest.mark.parametrize("name", Registry("adaptations").modules())
def test_contract(name: str):
    """Every adaptation: defaults, a frozen dataclass that can be written down, stages that fit both kinds of task."""
    cls = Registry("adaptations").get(name)
    made = cls()
    assert cls.__doc__ and Registry("adaptations").build(to_config(made)) == made
    with pytest.raises(AttributeError):
        made.anything = 1
    for kind in ("text", "image"):
        task = tiny.make_task(kind)
        assert made.patch(task) is None
        found = made.stages(task, 2)
        assert len({stage.name for stage in found}) == len(found) > 0
        for stage in found:
            rates = stages.resolve(task.components, stage).rates
            assert any(address.startswith("head/") for address in rates)


@pytest.mark.parametrize("options", [{"blocks": "all"}, {"blocks": 1.5}, {"head_epochs": "2"}, {"step": None}])
def test_what_is_no_number_of_blocks_or_epochs_is_told(options: dict):
    (name,) = options
    with pytest.raises(ConfigError, match=rf"{name} is .*Expected: a whole number, at least \d"):
        GradualUnfreezing(**options)
    with pytest.raises(ConfigError, match="None for all"):
        GradualUnfreezing(blocks="all")

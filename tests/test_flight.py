"""How busy sampler and tools were: by a clock that is turned by hand."""

from dataclasses import asdict, replace

import pytest

from corridor import at, engine, world
from handmade import flat
from treeroll import metrics
from treeroll.engine.flight import Meter
from treeroll.errors import DataError
from treeroll.tree import Anchor
from treeroll.treefile import tree_from_json, tree_to_json


def test_busy_shares_and_means_by_hand():
    now = [0.0]
    meter = Meter(lambda: now[0])

    def after(seconds: float) -> Meter:
        now[0] += seconds
        return meter

    after(1).add("turns", 2)  # 1 s of nothing
    after(3).add("calls", 1)  # 3 s of two turns
    after(2).add("turns", -2)  # 2 s of both
    after(2).add("calls", -1)  # 2 s of a call alone
    with after(0).during("turns", 4):
        after(2)
    for wait in (1, 1, 1, 5):  # half of four rollouts are done after the second one, and the last comes 6 s later
        after(wait).landed()
    meter.barrier()
    meter.barrier()  # of no rollout
    after(0).landed()
    meter.barrier()
    group = metrics.flight_group(**asdict(meter.flight()), capacity=8)
    assert group == {
        "seconds": 18,
        "sampler_busy": pytest.approx((3 + 2 + 2) / 18),
        "turns": pytest.approx((2 * 5 + 4 * 2) / 18),
        "sampler_load": pytest.approx(18 / 18 / 8),
        "tools_busy": pytest.approx(4 / 18),
        "calls": pytest.approx(4 / 18),
        "waits": [6, 0],
    }


@pytest.mark.parametrize("playing", ["waves", "stream"])
def test_a_step_has_a_wait_at_each_barrier_and_nothing_in_flight_after_it(playing):
    it = engine()
    it.playing = playing
    forest = it.plant(world().train, step=1)
    forest = it.extend(forest, at([Anchor(tree) for tree in forest], [1, 1, 1]))
    it.extend(forest, at([Anchor(forest[2], 1)], [2]))
    flight = it.meter.flight()
    assert len(flight.waits) == 2
    assert all(wait >= 0 for wait in flight.waits)
    assert 0 < flight.busy["turns"] <= flight.seconds
    assert 0 < flight.busy["calls"] <= flight.seconds
    it.meter.clock = lambda: flight.seconds + 1e9  # far later, were anything still in flight it would show
    assert it.meter.flight().busy == pytest.approx(flight.busy)
    it.plant(world().train, step=2)
    assert it.meter.flight().waits == ()


def test_staleness_counts_tokens():
    """Two rollouts of 2 turns with 2 sampled tokens each; the last turn came 3 updates after the tree was planted."""
    tree = flat(1.0, 0.0)
    tree = replace(tree, nodes=(*tree.nodes[:-1], replace(tree.nodes[-1], version=10)))
    assert [tree.version(node) for node in range(5)] == [7, 7, 7, 7, 10]
    assert metrics.staleness_group([tree], 11) == {"mean": (3 * 4 + 1) / 4, "max": 4}


def test_versions_are_saved_where_they_differ_and_old_files_are_read():
    tree = flat(1.0, 0.0)
    nodes = tuple(replace(node, version=9 if place == 2 else 7) for place, node in enumerate(tree.nodes))
    record = tree_to_json(replace(tree, nodes=nodes))
    assert [node.get("version") for node in record["nodes"]] == [None, None, 9, None, None]
    read = tree_from_json(record)
    assert [read.version(node) for node in range(5)] == [7, 7, 9, 7, 7]
    assert tree_to_json(read) == record
    with pytest.raises(DataError, match="version is 'new', expected a whole number"):
        tree_from_json(record | {"nodes": [node | {"version": "new"} for node in record["nodes"]]})

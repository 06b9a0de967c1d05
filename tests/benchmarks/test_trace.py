"""Traces: each operation counts for the part of the model that its program names."""

import gzip
import json

from benchmarks.trace import milliseconds, table_of_parts

PROGRAM = """
ENTRY %main (a: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %fusion.1 = f32[2]{0} fusion(%a), kind=kLoop, metadata={op_name="jit(train_step)/jvp(norm)/mul"}
  %dot.2 = f32[2]{0} dot(%fusion.1, %a), metadata={op_name="jit(train_step)/transpose(jvp(loss))/while/dot_general"}
  %norm.3 = f32[] reduce(%dot.2), metadata={op_name="jit(train_step)/optimizer/jit(norm)/reduce_sum"}
  %while.4 = f32[2]{0} while(%a), metadata={op_name="jit(train_step)/jvp(loss)/while"}
  ROOT %add.5 = f32[2]{0} add(%dot.2, %a)
}
"""


def write(path, events: list[tuple[str, float]]) -> None:
    path.parent.mkdir(parents=True)
    named = [{"ph": "X", "name": name, "dur": microseconds} for name, microseconds in events]
    named += [{"ph": "X", "name": "a kernel", "dur": 500, "args": {"hlo_op": "norm.3"}}, {"ph": "M", "name": "add.5"}]
    with gzip.open(path, "wt") as stream:
        json.dump({"traceEvents": named}, stream)


def test_the_newest_trace_is_shared_out_over_parts_an_update_the_longest_first(tmp_path):
    write(tmp_path / "a" / "vm.trace.json.gz", [("dot.2", 9e6)])
    events = [
        ("fusion.1", 1000),
        ("dot.2", 4000),
        ("dot.2", 2000),
        ("while.4", 7000),
        ("unknown", 9000),
        ("add.5", 200),
    ]
    write(tmp_path / "b" / "vm.trace.json.gz", events)
    found = milliseconds(tmp_path, PROGRAM, updates=2)
    assert list(found.items()) == [("loss", 3.0), ("norm", 0.5), ("optimizer", 0.25), ("other", 0.1)]
    assert table_of_parts(found).split("\n")[:2] == [
        "4 ms of operations in an update, of which",
        "    loss             3.0 ms   78%",
    ]

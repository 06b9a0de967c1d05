"""Traces: each operation is attributed to the part of the model that its program names."""

import gzip
import json

from benchmarks.trace import longest, milliseconds, read_trace, table_of_parts

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
    found = milliseconds(read_trace(tmp_path), PROGRAM, updates=2)
    assert list(found.items()) == [("loss", 3.0), ("norm", 0.5), ("optimizer", 0.25), ("other", 0.1)]
    assert table_of_parts(found).split("\n")[:2] == [
        "4 ms of operations in an update, of which",
        "    loss                             3.0 ms   78%",
    ]


def test_kernels_of_a_gpu_count_by_the_operation_they_name_or_else_by_kind(tmp_path):
    """Counts two streams of one device, but not the host or other threads, which repeat the same time."""
    place = {"pid": 1, "tid": 7}
    recorded = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "/device:GPU:0"}},
        {"ph": "M", "name": "process_name", "pid": 2, "args": {"name": "/host:CPU"}},
        {"ph": "M", "name": "thread_name", **place, "args": {"name": "Stream #16(Compute)"}},
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 8, "args": {"name": "XLA Modules"}},
        {"ph": "X", "name": "fusion_1", "dur": 4000, **place},
        {"ph": "X", "name": "nvjet_hsh_128x256", "dur": 6000, "args": {"hlo_op": "dot.2"}, **place},
        {"ph": "X", "name": "nvjet_tst_64x8", "dur": 8000, **place},
        {"ph": "X", "name": "nvjet_tst_64x8", "dur": 2000, **place},
        {"ph": "X", "name": "jit_train_step", "dur": 90000, "pid": 1, "tid": 8},
        {"ph": "X", "name": "dot.2", "dur": 90000, "pid": 2, "tid": 1},
    ]
    (tmp_path / "a").mkdir()
    with gzip.open(tmp_path / "a" / "vm.trace.json.gz", "wt") as stream:
        json.dump({"traceEvents": recorded}, stream)
    trace = read_trace(tmp_path)
    assert milliseconds(trace, PROGRAM, updates=2) == {"(matrix products)": 5.0, "loss": 3.0, "norm": 2.0}
    table = longest(trace, PROGRAM, updates=2).split("\n")
    assert table[1].split() == ["5.00", "1", "(matrix", "products)", "nvjet_tst_64x8"]
    assert len(table) == 4

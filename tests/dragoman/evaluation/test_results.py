from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import Evaluation, Outputs, System


def test_outputs_are_found_by_the_names_of_their_system_and_test_set():
    test_sets = [TestSet(name, ["a"], [["b"]]) for name in ("news", "talks")]
    systems = [System(name, "text") for name in ("ours", "theirs")]
    outputs = [Outputs(system, test_set, ["c"]) for system in systems for test_set in test_sets]
    evaluation = Evaluation(test_sets, outputs, results=[])
    assert evaluation.outputs_of("theirs", "news") is outputs[2]
    assert evaluation.outputs_of("theirs", "web") is None

"""Models of the task of hops that compile quickly, for the tests of benchmarks/questions."""

import numpy as np

from benchmarks.questions.training import Variant, initial
from transformer.model import merge

SMALL = {"decoder_layers": 2, "width": 16, "heads": 2, "feed_forward": 16}


def model_of(task, change=None, **sizes):
    """The graph and parameters of the task's model, perhaps changed."""
    variant = Variant("", task.model.model_copy(update=sizes))
    return initial(variant if change is None else variant._replace(change=change), task.vocabulary, seed=1)


def features(graph, parameters, batch):
    return np.asarray(merge(graph, parameters).features(batch))

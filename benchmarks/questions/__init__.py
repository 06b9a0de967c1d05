"""Experiments on the four questions that the explainer of the Transformer leaves open; docs/questions.md has answers.

    python -m benchmarks.questions depth          or residual, identity_path, feed_forward, heads

task toy multi30k           what a question is asked of
parts sizes                 models that no config can express; models of equal size
training measuring pruning  several seeds of a model; its scores; its scores without one of its parts
streams neurons             what passes through its layers; what its neurons respond to
trained_runs                question 4, asked of trained runs
results figures             tables with intervals, and charts
"""

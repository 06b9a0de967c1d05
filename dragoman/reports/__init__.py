"""Reports that people look at in a browser: each is one HTML file, which needs no network and no JavaScript.

page         a template and its values to a file; what all reports have in common
charts       charts as SVG within a page
heat_map     heat maps as SVG, small enough for hundreds on a page
curves       learning curves, from the metrics of runs
training     the report of a run, which training keeps up to date
evaluation   the report of an evaluation; its parts:
  runs       what the runs themselves say: metrics, and words of the training text
  verdict    which system is better, in a sentence
  score_cards
             the scores on a number line for each metric
  breakdown  scores by the length of the source, and by its rarest word
  confidence what the confidence of each system is worth on a test set
  examples sentences
             which sentences are shown, and their marked and linked words
  supplements
             words by frequency, disturbed text, overlap with the training text
sweep        settings of the search
calibration  what confidence is worth

They belong neither to training nor to evaluation, because both write them. Templates are Jinja's, with autoescape: text
comes from files that nobody has checked. Charts are drawn by pygal. It is written in Python alone, is imported in a
tenth of a second, and draws SVG whose colours are left to the style sheet, so that a chart turns dark with its page.
Matplotlib draws more kinds of charts, but its colours are fixed, and it is a large dependency for a program that trains
in the background. Both libraries are small enough to be required: a run always has its report.
"""

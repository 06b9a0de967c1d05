"""One update: the loss, the optimizer, the learning-rate schedules, and the step that combines them.

objective cross_entropy  what training minimises, a table; the usual objective
both_sides               the objective that predicts the source too
r_drop                   the objective that reads each pair twice, with different dropout
loss chunks              the arithmetic of the loss; logits of a few tokens at a time
schedules                learning rates, a table
optimizer stacks         update rules, a table; matrices stacked for them
placement                what an update asks of the devices
step                     the update
"""

"""The course of a training run: its plan, loop, validation, meter and memory."""

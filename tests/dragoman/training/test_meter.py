"""The log's figures of speed: operations, compilation time, and warnings of repeated compilation."""

import time

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from data.batch import Batch, TokenPair
from data.batching.layout import make_batch
from dragoman.training import meter as meter_module
from dragoman.training.meter import Meter
from transformer.config import Config, DevicesConfig, ModelConfig, TrainingConfig
from transformer.devices.flops import known_peak, update_flops
from transformer.devices.mesh import MeshStrategy
from transformer.devices.pmap import PmapStrategy
from transformer.model import ASSEMBLIES, BatchSize, build, merge, split
from transformer.training.step import Metrics

VOCABULARY = 500
MODEL = ModelConfig(
    encoder_layers=2, decoder_layers=2, width=32, heads=2, feed_forward=64, dropout=0.0, precision="float32"
)
CONFIG = Config(model=MODEL)


def model_parts(config: ModelConfig):
    return split(build(config, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, rngs=nnx.Rngs(0)))


def make_rows(rows: int, length: int, tokens: int) -> Batch:
    """Rows of `length` positions, each with one pair of `tokens` tokens per side, including EOS."""
    pair = TokenPair([5] * (tokens - 1) + [3], [6] * (tokens - 1))
    return make_batch([[pair]] * rows, source_length=length, target_length=length, rows_count=rows)


def compiled_forward_flops(config: ModelConfig, rows: int, source_length: int, target_length: int) -> float:
    """The operations of encoder, decoder and output layer, as XLA counts them in the compiled program."""
    graph, parameters = model_parts(config)

    def forward(parameters, source, target):
        model = merge(graph, parameters)
        segments = jnp.ones_like(source), jnp.ones_like(target)
        zeros = jnp.zeros_like(source), jnp.zeros_like(target)
        batch = Batch(source, segments[0], zeros[0], target, target, segments[1], zeros[1])
        return model.output().logits(model.features(batch))

    shapes = [jax.ShapeDtypeStruct((rows, length), jnp.int32) for length in (source_length, target_length)]
    return jax.jit(forward).lower(parameters, *shapes).compile().cost_analysis()["flops"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "swiglu", "norm": "rms"},
        {"encoder_layers": 4, "decoder_layers": 1, "feed_forward": 128, "tied": "none"},
        {"assembly": "decoder_only"},
        {"assembly": "decoder_only", "source_attention": "causal"},
        {"assembly": "denoising_encoder"},
    ],
    ids=["default", "swiglu", "deep encoder", "decoder-only", "causal decoder-only", "denoising encoder"],
)
@pytest.mark.parametrize(("source_length", "target_length"), [(32, 32), (96, 16)])
def test_the_operations_counted_are_those_of_the_compiled_program_within_a_tenth(changes, source_length, target_length):
    config = ModelConfig(encoder_layers=2, decoder_layers=2, width=128, heads=4, feed_forward=512, precision="float32")
    config = config.model_copy(update=changes)
    rows = 4
    if config.assembly == "denoising_encoder":  # it predicts tokens of the text that it reads
        target_length = source_length
    size = BatchSize(rows * source_length, rows * target_length, source_length, target_length)
    counted = ASSEMBLIES[config.assembly].forward_flops(config, VOCABULARY, size)
    assert counted == pytest.approx(compiled_forward_flops(config, rows, source_length, target_length), rel=0.1)


def test_padding_does_not_count_as_operations():
    full, half = BatchSize(64, 64, 16, 16), BatchSize(32, 32, 16, 16)
    assert update_flops(CONFIG, VOCABULARY, full) == 2 * update_flops(CONFIG, VOCABULARY, half)


def test_r_drop_reads_each_pair_twice():
    r_drop, size = CONFIG.with_training({"objective": "r_drop"}), BatchSize(64, 64, 16, 16)
    assert update_flops(r_drop, VOCABULARY, size) == 2 * update_flops(CONFIG, VOCABULARY, size)


@pytest.mark.parametrize(
    ("kind", "peak"),
    [("NVIDIA H200", 989), ("NVIDIA A100-SXM4-80GB", 312), ("TPU v5 lite", 197), ("TPU v5", 459), ("cpu", 0)],
)
def test_the_peak_of_a_known_device_is_found_by_its_name(kind, peak):
    assert known_peak(kind) == peak


class Course:
    """A meter after updates of a tiny model, and its warnings."""

    def __init__(self, *, strategy=MeshStrategy, shapes: int = 1, peak: float = 0.0):
        devices = DevicesConfig(data=2, peak_tflops=peak)
        self.config = Config(model=MODEL, training=TrainingConfig(batch_tokens=64), devices=devices)
        graph, parameters = model_parts(MODEL)
        self.strategy = strategy(graph, self.config)
        self.state = self.strategy.init_state(parameters)
        self.warnings: list[str] = []
        self.meter = Meter(self.config, VOCABULARY, shapes=shapes, devices=2, warn=self.warnings.append)

    def update(self, batch: Batch, count: int = 1) -> None:
        with self.meter.listening():
            for _ in range(count):
                with self.meter.update(batch):
                    self.state, metrics = self.strategy.train_step(self.state, batch, jax.random.key(0))
                self.meter.add(metrics, batch)


@pytest.mark.parametrize("strategy", [MeshStrategy, PmapStrategy])
def test_compilation_time_is_separate_from_training_time(strategy):
    start = time.perf_counter()
    course = Course(strategy=strategy)
    course.update(make_rows(4, 16, 12), 3)
    first = course.meter.record(3)
    elapsed = time.perf_counter() - start
    training = 3 * 4 * 12 / first["target_tokens_per_second"]
    assert 0 < first["compile_seconds"] < elapsed - training
    course.update(make_rows(4, 16, 12), 3)
    assert course.meter.record(6)["compile_seconds"] == 0


@pytest.mark.parametrize("strategy", [MeshStrategy, PmapStrategy])
def test_the_operations_of_the_log_are_those_of_its_updates(strategy):
    course = Course(strategy=strategy, peak=0.5)
    course.update(make_rows(4, 16, 12), 3)
    record = course.meter.record(3)
    seconds = 3 * 4 * 12 / record["target_tokens_per_second"]
    flops = 3 * update_flops(CONFIG, VOCABULARY, BatchSize(48, 48, 16, 16))
    assert record["device_teraflops"] == pytest.approx(flops / seconds / 2 / 1e12)
    assert record["utilisation"] == pytest.approx(record["device_teraflops"] / 0.5)


def test_what_an_objective_sums_besides_the_loss_is_logged_per_token():
    """The first update has 48 target tokens, the second 24."""
    course = Course()
    for rows, value in ((make_rows(4, 16, 12), 2.0), (make_rows(4, 16, 6), 5.0)):
        course.update(rows)
        metrics, *lengths = course.meter.pending[-1]
        course.meter.pending[-1] = (metrics._replace(extra={"divergence": jnp.float32(value)}), *lengths)
    assert course.meter.record(2)["divergence"] == pytest.approx((48 * 2 + 24 * 5) / 72)


def test_the_device_waits_for_a_batch_only_when_it_has_nothing_left_to_compute():
    course = Course()
    rows = make_rows(4, 16, 12)
    course.update(rows)
    course.meter.record(0)  # with the time of compiling
    course.update(rows)

    def batches(*, is_busy: bool):
        """One batch after a tenth of a second, at whose end the last update is done or is not."""
        time.sleep(0.1)
        if is_busy:
            course.update(rows, 1)
            course.meter.pending[-1] = (Unfinished(), *course.meter.pending[-1][1:])
        yield rows

    course.meter.resume()
    finished = list(course.meter.pending)
    jax.block_until_ready([metrics for metrics, *_ in finished])
    course.meter.next_batch(batches(is_busy=False))
    assert 0.1 <= course.meter.waited < 1
    waited = course.meter.waited
    course.meter.next_batch(batches(is_busy=True))
    assert course.meter.waited == waited
    course.meter.pending = finished
    record = course.meter.record(1)
    assert 0 < record["waiting_for_data"] <= 1
    course.update(rows)
    assert course.meter.record(2)["waiting_for_data"] == 0


class Unfinished:
    """A result that the device has not computed yet."""

    def is_ready(self) -> bool:
        return False


def test_without_a_peak_there_is_no_utilisation():
    course = Course()
    course.update(make_rows(4, 16, 12))
    assert "utilisation" not in course.meter.record(1)


def test_peak_memory_grows_with_what_is_held():
    course = Course()
    course.update(make_rows(4, 16, 12))
    before = course.meter.record(1)["peak_memory"]
    held = b"x" * (before + 2**26)  # every page is written
    course.update(make_rows(4, 16, 12))
    assert course.meter.record(2)["peak_memory"] >= len(held)


def test_compiling_again_after_the_known_shapes_is_warned_of_once():
    course = Course(shapes=2)
    for rows, length in ((4, 16), (8, 8), (4, 16)):
        course.update(make_rows(rows, length, 6))
    assert course.warnings == []
    course.update(make_rows(2, 24, 6), 2)
    [warning] = course.warnings
    assert warning.startswith("train_step compiled again for ")
    assert warning.endswith(" s: batch shape (2, 24, 24) is none of the 2 known shapes")


def test_compiling_a_shape_that_was_compiled_before_is_warned_of():
    course = Course()
    course.update(make_rows(4, 16, 12))
    jax.clear_caches()
    course.update(make_rows(4, 16, 12))
    [warning] = course.warnings
    assert warning.endswith(" s: batch shape (4, 16, 16) was compiled before")


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices are given more updates")
def test_an_update_is_given_to_a_cpu_only_when_at_most_two_are_unfinished(monkeypatch):
    """So that a request to stop, which waits for all of them, is obeyed soon."""
    waited: list[Metrics] = []
    monkeypatch.setattr(meter_module.jax, "block_until_ready", waited.append)
    meter, batch = Meter(CONFIG, VOCABULARY, shapes=1, devices=1, warn=pytest.fail), make_rows(1, 8, 4)
    updates = [Metrics(*[jnp.float32(n)] * len(Metrics._fields))._replace(extra={}) for n in range(5)]
    for metrics in updates:
        meter.add(metrics, batch)
    assert [metrics.loss for metrics in waited] == [0, 1, 2]

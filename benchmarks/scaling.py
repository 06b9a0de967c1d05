"""An estimate, by arithmetic alone, of what an update of a recipe costs on many devices. Nothing is measured here.

    python benchmarks/scaling.py [configs/wmt14-en-de-big.toml]

For each cluster in CASES: memory on a device, floating-point operations, bytes sent, and the time of an update if
computing reaches UTILISATION of the data sheet's peak and sending overlaps nothing. Parameters are counted from the
real model, by shape, without allocating it. Everything else is a formula of a function here. Prints a table and one
JSON line; docs/scaling.md shows the table.
"""

import json
from typing import NamedTuple

import jax

from dragoman.commands.options import ArgumentParser, run_main
from dragoman.runs.recipe import read_recipe
from transformer.config import Config, ModelConfig
from transformer.devices.flops import update_flops
from transformer.devices.sharding import parameter_spec
from transformer.model import BatchSize, abstract
from transformer.training.chunks import chunk_tokens

UTILISATION = 0.4
"""Share of the peak that matrix products are assumed to reach: a guess, to be replaced by a measured one."""
FLOAT32, BFLOAT16 = 4, 2
GIGA, TERA = 1e9, 1e12


class Device(NamedTuple):
    """Figures of a public data sheet. `ring`: bytes a second that a device sends along a ring of all devices."""

    name: str
    flops: float  # bfloat16, dense
    memory: float  # bytes
    ring: float  # bytes a second, one way


# NVLink 4: 900 GB/s for both ways. v5e: 400 GB/s for both ways over four ports, of which a ring over one axis of the
# torus uses two.
H100 = Device("H100 SXM", 989e12, 80e9, 450e9)
H200 = Device("H200 SXM", 989e12, 141e9, 450e9)
V5E = Device("TPU v5e", 197e12, 16e9, 100e9)


class Case(NamedTuple):
    """A cluster, how its mesh is chosen, and the target tokens of an update over all of it."""

    device: Device
    data: int
    fsdp: int
    tokens: int


CASES = (
    Case(H100, data=8, fsdp=1, tokens=65_536),
    Case(H200, data=8, fsdp=1, tokens=262_144),
    Case(H200, data=1, fsdp=8, tokens=262_144),
    Case(V5E, data=256, fsdp=1, tokens=524_288),
    Case(V5E, data=256, fsdp=1, tokens=2_097_152),
    Case(V5E, data=16, fsdp=16, tokens=2_097_152),
)


class Estimate(NamedTuple):
    """Of one update on one of the devices: bytes held, operations, bytes sent, seconds."""

    state: float
    activations: float
    loss: float
    flops: float
    sent: float
    compute: float
    communication: float

    @property
    def memory(self) -> float:
        """Bytes held at the peak, when activations are complete."""
        return self.state + self.activations + self.loss


def parameter_sizes(config: Config) -> dict[str, int]:
    """The number of values of each parameter by its path, with a vocabulary of the size that is asked for."""
    _, shapes = abstract(config.model, config.data.vocabulary_size, config.data.vocabulary_size)
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    return {"/".join(key.key for key in path): leaf.size for path, leaf in leaves}


def held_values(sizes: dict[str, int], fsdp: int) -> float:
    """Values of parameters on one device: those that the rules divide over fsdp, divided."""
    return sum(size / (fsdp if "fsdp" in parameter_spec(path) else 1) for path, size in sizes.items())


def state_bytes(sizes: dict[str, int], fsdp: int) -> float:
    """Parameters, their gradients and AdamW's two moments, in float32; with fsdp, whole parameters while they are used.

    They are gathered before the forward pass and kept until back-propagation has ended.
    """
    whole = sum(sizes.values()) if fsdp > 1 else 0
    return FLOAT32 * (4 * held_values(sizes, fsdp) + whole)


def batch_size(config: Config, tokens: float) -> BatchSize:
    """The sizes of an update with `tokens` target tokens in full rows, which are as long on both sides.

    A denoising encoder reads as many tokens, and predicts only the share of them that it restores.
    """
    share = config.data.denoise_share if config.model.assembly == "denoising_encoder" else 1.0
    return BatchSize(tokens, share * tokens, config.data.row_length, config.data.row_length)


def step_flops(config: Config, case: Case) -> float:
    """Operations of an update over all devices, as training counts them for its log."""
    return update_flops(config, config.data.vocabulary_size, batch_size(config, case.tokens))


def layer_bytes(model: ModelConfig, length: int) -> tuple[float, float]:
    """Bytes that back-propagation remembers for one token of an encoder and of a decoder layer, in bfloat16.

    `length` is the number of keys. A layer of a decoder-only model is an encoder layer over both sides.

    The count of Korthikanti et al. 2022, section 4.1, with F for 4 D: attention 11 D + 5 N L, feed-forward 3 D + 4 F,
    each normalisation 2 D. It keeps the scores, as attention does without a fused kernel.
    """
    attention = 11 * model.width + 5 * model.heads * length
    feed_forward = 3 * model.width + (7 if model.activation == "swiglu" else 4) * model.feed_forward
    norm = 2 * model.width
    return attention + feed_forward + 2 * norm, 2 * attention + feed_forward + 3 * norm


def activation_bytes(config: Config, case: Case) -> float:
    """Bytes of activations on one device."""
    model, length = config.model, config.data.row_length
    tokens = config.training.copies * case.tokens / (case.data * case.fsdp)
    if model.assembly == "decoder_only":
        return 2 * tokens * model.decoder_layers * layer_bytes(model, 2 * length)[0]
    encoder, decoder = layer_bytes(model, length)
    decoder_layers = 0 if model.assembly == "denoising_encoder" else model.decoder_layers
    return tokens * (model.encoder_layers * encoder + decoder_layers * decoder)


def loss_bytes(config: Config, case: Case) -> float:
    """Bytes of the chunked loss on one device: three arrays of a chunk's logits, and the output matrix's gradient."""
    tokens = min(chunk_tokens(), case.tokens / (case.data * case.fsdp))
    return FLOAT32 * config.data.vocabulary_size * (3 * tokens + config.model.width)


def ring_all_reduce(size: float, devices: int) -> float:
    """Bytes that each device of a ring sends to add up `size` bytes: 2 (n - 1) / n of them."""
    return 2 * (devices - 1) / devices * size


def ring_gather(size: float, devices: int) -> float:
    """Bytes that each device of a ring sends to gather, or to reduce and scatter, `size` bytes: (n - 1) / n of them."""
    return (devices - 1) / devices * size


def sent_bytes(sizes: dict[str, int], case: Case) -> float:
    """Bytes each device sends: parameters gathered once, gradients added up and scattered, then added over data.

    Each of the parts that `training.accumulation` makes of an update gathers and scatters anew; here it is 1.
    """
    whole = FLOAT32 * sum(sizes.values())
    held = FLOAT32 * held_values(sizes, case.fsdp)
    return 2 * ring_gather(whole, case.fsdp) + ring_all_reduce(held, case.data)


def estimate(config: Config, case: Case) -> Estimate:
    """The estimate of an update of a recipe on one cluster."""
    sizes = parameter_sizes(config)
    flops = step_flops(config, case) / (case.data * case.fsdp)
    sent = sent_bytes(sizes, case)
    return Estimate(
        state=state_bytes(sizes, case.fsdp),
        activations=activation_bytes(config, case),
        loss=loss_bytes(config, case),
        flops=flops,
        sent=sent,
        compute=flops / (UTILISATION * case.device.flops),
        communication=sent / case.device.ring,
    )


def table(config: Config) -> str:
    """One line a case."""
    names = ("devices", "data", "fsdp", "tokens", "state", "activ.", "loss", "sum", "of", "TFLOP", "GB sent")
    widths = (14, 4, 4, 9, 6, 6, 5, 6, 5, 6, 7)
    heads = [
        name.ljust(width) if name == "devices" else name.rjust(width) for name, width in zip(names, widths, strict=True)
    ]
    lines = [" ".join(heads) + "  compute + sending ms    tokens/s"]
    for case in CASES:
        found = estimate(config, case)
        gigabytes = [size / GIGA for size in (found.state, found.activations, found.loss, found.memory)]
        seconds = found.compute + found.communication
        lines.append(
            f"{case.data * case.fsdp:3} x {case.device.name:8} {case.data:4} {case.fsdp:4} {case.tokens:9,} "
            f"{gigabytes[0]:6.2f} {gigabytes[1]:6.2f} {gigabytes[2]:5.2f} "
            f"{gigabytes[3]:6.2f} {case.device.memory / GIGA:5.0f} {found.flops / TERA:6.2f} {found.sent / GIGA:7.2f}  "
            f"{found.compute * 1e3:7.1f} + {found.communication * 1e3:10.1f} {case.tokens / seconds:11,.0f}"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks/scaling.py", description="An estimate of an update on many devices.")
    parser.add_argument("recipe", nargs="?", default="configs/wmt14-en-de-big.toml", help="(default: %(default)s)")
    recipe = parser.parse_args(arguments).recipe
    config = read_recipe(recipe)
    sizes = parameter_sizes(config)
    print(f"{recipe}: {sum(sizes.values()):,} parameters, rows of {config.data.row_length} tokens; GB on one device")
    print(table(config))
    estimates = [case._replace(device=case.device.name)._asdict() | estimate(config, case)._asdict() for case in CASES]
    print(json.dumps({"recipe": str(recipe), "utilisation": UTILISATION, "estimates": estimates}))


if __name__ == "__main__":
    run_main(main)

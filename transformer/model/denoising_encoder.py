"""The encoder alone, trained to restore tokens of a text from the rest of it (BERT: Devlin et al. 2019)."""

from typing import NoReturn

from flax import nnx
from jaxtyping import Array, Float

from data.batch import Batch
from transformer.config import ModelConfig
from transformer.model.assembly import BatchSize
from transformer.model.dense import resolve_precision
from transformer.model.dropout import DropoutKey
from transformer.model.embeddings import Embedding
from transformer.model.encoder_decoder import EncoderDecoder
from transformer.model.layer_stack import resolve_layer_loop
from transformer.model.layers import EncoderLayer
from transformer.model.norms import NORMS
from transformer.model.positions import POSITIONS


class DenoisingEncoder(EncoderDecoder):
    """The encoder of an `EncoderDecoder`, with the same parameters under the same names, and an output layer.

    It has no decoder, so it cannot search: `encode` and `features` are all that it does.
    """

    def __init__(self, config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, rngs: nnx.Rngs):
        del target_vocabulary  # the same one
        precision = resolve_precision(config.precision)
        self.dropout, self.pre_norm = config.dropout, config.norm_position == "pre"
        self.rematerialize, self.layer_loop = config.rematerialize, resolve_layer_loop(config.layer_loop)
        self.embedding = Embedding(source_vocabulary, config.width, precision=precision, rngs=rngs)
        self.source_positions = POSITIONS[config.positions](config, rngs=rngs)
        layers = [EncoderLayer(config, precision=precision, rngs=rngs) for _ in range(config.encoder_layers)]
        self.encoder = nnx.List(layers)
        if self.pre_norm:
            self.encoder_norm = NORMS[config.norm](config.width, rngs=rngs)

    def features(self, batch: Batch, *, dropout_key: DropoutKey | None = None) -> Float[Array, "B T D"]:
        """The encoder's output for `batch.source`, a corrupted text: at each position, it predicts the token there."""
        return self.encode(batch.source, batch.source_segments, batch.source_positions, dropout_key=dropout_key)

    def output(self) -> Embedding:
        """The embedding whose matrix the output layer uses."""
        return self.embedding

    def embeddings(self) -> tuple[Embedding, Embedding]:
        """The word embeddings of the source and of the target, which are the same."""
        return self.embedding, self.embedding

    def begin(self, source: Array, *, beams: int) -> NoReturn:
        """Raises NotImplementedError, as do the other methods for search: there is no decoder."""
        raise NotImplementedError("a denoising encoder writes no text: it fills masked places of one")

    @staticmethod
    def forward_flops(config: ModelConfig, target_vocabulary: int, size: BatchSize) -> float:
        """Operations of a forward pass over the real tokens, counted as in `EncoderDecoder.forward_flops`."""
        width = config.width
        feed_forward = 2 * width * config.feed_forward * (3 if config.activation == "swiglu" else 2)
        layer = 8 * width**2 + feed_forward + 4 * width * size.source_length
        read = size.source_tokens * config.encoder_layers * layer
        return float(read + size.target_tokens * 2 * target_vocabulary * width)

    @staticmethod
    def rough_activations(config: ModelConfig, length: int) -> int:
        """Roughly how many values an update keeps for its gradients, for each token of a row."""
        return config.encoder_layers * (10 * config.width + 3 * config.feed_forward + 2 * config.heads * length)

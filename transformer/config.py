"""Every knob of the array side, and the whole recipe: each is declared once, with type, default, range and unit.

The upper limits of sizes are far beyond any use. They reject slips of the keyboard, which would take all memory, or
hours, before it is known how much memory the size needs.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from data.config import DataConfig, Facts, Knobs, Section, knob

TRAINING_ONLY = Facts(shapes_parameters=False, changes_translation=False)
"""Of a knob of the model that only training uses."""

HOW_ONLY = Facts(on_resume="free", shapes_parameters=False, changes_translation=False)
"""Of a knob that decides how an update is computed, and not what."""


class ModelConfig(Knobs):
    """The architecture: its sizes, and which variant of each part is used."""

    usual = Facts(on_resume="fixed", shapes_parameters=True, changes_translation=True)

    assembly: Literal["encoder_decoder", "decoder_only", "denoising_encoder"] = knob(
        "encoder_decoder",
        before="encoder_decoder",
        description="how the layers are assembled into a model; encoder_decoder: an encoder reads the source, a "
        "decoder writes the target; decoder_only: one stack of layers, as in GPT, reads the source and goes on with "
        "the target; denoising_encoder: an encoder alone, as BERT, learns to restore masked tokens of either side",
    )
    source_attention: Literal["bidirectional", "causal"] = knob(
        "bidirectional",
        before="bidirectional",
        description="decoder_only: what a source token attends to; bidirectional: its whole sentence, as in an "
        "encoder; causal: earlier tokens only, as in GPT, so that the source can be learned too (training.objective)",
    )
    encoder_layers: int = Field(6, ge=1, le=1000, description="number of encoder layers; decoder_only has none")
    decoder_layers: int = Field(6, ge=1, le=1000, description="number of decoder layers; of decoder_only, all layers")
    width: int = Field(512, ge=2, le=32768, description="model width: features of each token (D), a multiple of heads")
    heads: int = Field(8, ge=1, description="attention heads (N)")
    feed_forward: int = Field(2048, ge=1, le=131072, description="width of the feed-forward networks (F)")
    activation: Literal["relu", "gelu", "swiglu"] = Field("relu", description="activation of the feed-forward networks")
    norm: Literal["layer", "rms"] = Field("layer", description="layer normalisation, or RMSNorm")
    norm_position: Literal["pre", "post"] = Field("pre", description="normalise a sub-layer's input, or its sum")
    positions: Literal["sinusoidal", "learned", "rotary"] = Field("sinusoidal", description="positional encoding")
    maximum_length: int = Field(
        256,
        ge=4,
        le=65536,
        description="longest sentence in tokens, including EOS; also the number of learned positions",
    )
    tied: Literal["all", "output", "none"] = Field(
        "all",
        description="all: source, target and output share one matrix (needs a joint vocabulary); output: target and "
        "output share one; none: three matrices",
    )
    source_vectors: str = knob(
        "",
        description="pre-trained source word embeddings, word2vec text format; empty: none",
        **TRAINING_ONLY,
    )
    target_vectors: str = knob(
        "",
        description="pre-trained target word embeddings, word2vec text format; empty: none",
        **TRAINING_ONLY,
    )
    start_encoder: str = knob(
        "",
        description="a run, such as a denoising_encoder, whose encoder and embeddings this one starts with; it must "
        "have the same sizes and vocabulary; empty: none",
        **(TRAINING_ONLY | Facts(before="")),
    )
    start_decoder: str = knob(
        "",
        description="decoder_only: a decoder_only run that this one starts with, likewise; empty: none",
        **(TRAINING_ONLY | Facts(before="")),
    )
    dropout: float = knob(
        0.1,
        ge=0.0,
        lt=1.0,
        description="dropout rate after the embeddings and each sub-layer",
        **TRAINING_ONLY,
    )
    activation_dropout: float = knob(
        0.0,
        ge=0.0,
        lt=1.0,
        description="dropout rate inside the feed-forward networks",
        **TRAINING_ONLY,
    )
    rematerialize: bool = knob(
        False,
        description="recompute each layer during back-propagation instead of storing its activations: the same "
        "update, with less memory and more computation, on GPU and TPU (on CPUs, XLA undoes it)",
        **HOW_ONLY,
    )
    layer_loop: Literal["auto", "unrolled", "scan"] = knob(
        "auto",
        description="how an update runs its layers: unrolled in the program, or as a scan over stacked parameters, "
        "which is a smaller program to compile; auto: scan on TPUs, unrolled on CPUs and GPUs, where that is faster",
        **(HOW_ONLY | Facts(before="auto")),
    )
    precision: Literal["auto", "float32", "bfloat16", "bfloat16_float32"] = knob(
        "auto",
        description="precision of matrix products: float32; bfloat16 throughout; bfloat16_float32: bfloat16 operands, "
        "float32 sums and results; auto: bfloat16 on GPU and TPU, bfloat16_float32 on CPUs with bfloat16 "
        "instructions, float32 on other CPUs; a run keeps the choice that auto made when it began",
        on_resume="free",
        shapes_parameters=False,
    )
    attention_kernel: Literal["auto", "xla", "pallas"] = knob(
        "auto",
        description="what computes attention in bfloat16 updates: xla: our own formula; pallas: our kernel for packed "
        "rows on GPUs; auto: on GPUs the kernel, if it agrees with our own formula on rows like the run's; the run "
        "keeps that choice",
        **(HOW_ONLY | Facts(former_values=dict.fromkeys(("cudnn", "triton", "mosaic"), "pallas"))),
    )

    @model_validator(mode="after")
    def check(self) -> "ModelConfig":
        if self.width % self.heads:
            raise ValueError(f"model.width is {self.width}, which is not divisible by model.heads, {self.heads}")
        if self.width % 2 or (self.positions == "rotary" and self.width // self.heads % 2):
            raise ValueError(f"model.width is {self.width}: positions need an even width, and rotary ones even heads")
        if self.assembly != "encoder_decoder" and self.tied != "all":
            raise ValueError(
                f'model.tied is "{self.tied}", but model.assembly "{self.assembly}" reads both sides as one language, '
                'with one matrix: set model.tied to "all"'
            )
        for start, has_part in (
            ("start_encoder", self.assembly != "decoder_only"),
            ("start_decoder", self.assembly == "decoder_only"),
        ):
            if getattr(self, start) and not has_part:
                raise ValueError(f'model.{start} is set, but model.assembly "{self.assembly}" has no such part')
        if self.assembly == "decoder_only":
            self.check_decoder_only()
        elif self.source_attention != "bidirectional":
            raise ValueError('model.source_attention is for decoder_only: set model.assembly to "decoder_only" too')
        return self

    def check_decoder_only(self) -> None:
        """Raises ValueError for a kernel that a decoder-only model cannot use."""
        if self.attention_kernel not in ("auto", "xla"):
            raise ValueError(
                f'model.attention_kernel is "{self.attention_kernel}", which cannot express the mask of model.assembly '
                '"decoder_only": set it to "auto" or "xla"'
            )


class TrainingConfig(Knobs):
    """Training: its length, batches, update rule, logging, validation and checkpoints."""

    usual = Facts(on_resume="fixed", shapes_parameters=False, changes_translation=False)

    steps: int = knob(
        100000,
        ge=1,
        description="number of updates; raise it to continue a finished run, except under the cosine schedule",
        on_resume="free",
    )
    batch_tokens: Annotated[int, Field(ge=16)] | Literal["auto"] = Field(
        4096,
        description="target tokens in an update over all devices, including padding; auto: as many as fit in memory",
    )
    batch_tokens_limit: int = Field(
        32768, ge=16, description="largest batch_tokens that auto chooses: in larger batches, each token teaches less"
    )
    accumulation: int = knob(
        1,
        ge=1,
        le=65536,
        description="number of parts in which a batch is computed, one after the other; doubled when memory runs out",
        on_resume="free",
    )
    seed: int = Field(1, ge=0, lt=2**31, description="seed of initial weights, order, dropout and subword sampling")
    objective: Literal["cross_entropy", "both_sides", "r_drop"] = knob(
        "cross_entropy",
        description="loss that training minimises; cross_entropy: of the target; both_sides: of the source too, so "
        "that a decoder-only model with causal source attention also learns to write source text (dragoman generate); "
        "r_drop: of the target, read twice with different dropout, whose predictions should agree: for little text and "
        "many epochs; updates take twice as long",
        before="cross_entropy",
    )
    consistency: float = knob(
        5.0,
        ge=0.0,
        description="r_drop: weight of the divergence between both predictions",
        before=5.0,
    )
    optimizer: Literal["adamw", "adafactor", "schedule_free", "muon"] = Field(
        "adamw",
        description="update rule; schedule_free: AdamW that averages its updates (needs schedule constant); "
        "muon: Muon for the matrices of attention and feed-forward networks, AdamW for the rest",
    )
    learning_rate: float = Field(0.001, gt=0.0, description="peak learning rate")
    warmup_steps: int = Field(4000, ge=0, description="updates over which the learning rate rises linearly to its peak")
    schedule: Literal["inverse_square_root", "cosine", "constant"] = Field(
        "inverse_square_root", description="learning rate after the warm-up; cosine falls to 0 at the last step"
    )
    beta1: float = Field(
        0.9,
        ge=0.0,
        lt=1.0,
        description="adamw, and the AdamW part of muon: decay of the mean gradient; schedule_free: weight of the "
        "average in the point at which gradients are taken",
    )
    beta2: float = Field(
        0.98,
        ge=0.0,
        lt=1.0,
        description="adamw, schedule_free, and the AdamW part of muon: decay of the mean squared gradient",
    )
    muon_momentum: float = Field(0.95, ge=0.0, lt=1.0, description="muon: decay of the mean gradient of a matrix")
    muon_scale: float = Field(
        0.2,
        gt=0.0,
        description="muon: root mean square of a matrix's update per unit of learning rate; AdamW's is about 0.2",
    )
    weight_decay: float = Field(0.0, ge=0.0, description="decoupled weight decay of matrices (not of norms and biases)")
    clip: float = Field(1.0, ge=0.0, description="largest global gradient norm; 0: no clipping")
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0, description="probability spread evenly over the vocabulary (V)")
    log_every: int = knob(100, ge=1, description="updates between lines in metrics.jsonl", on_resume="free")
    save_every: int = knob(1000, ge=1, description="updates between checkpoints", on_resume="free")
    validate_every: int = knob(
        1000, ge=1, description="updates between validations, each followed by a checkpoint", on_resume="free"
    )
    metric: Literal["bleu", "chrf", "chrf++", "ter", "bleu_lowercased_tokenized"] = knob(
        "bleu",
        description="validation score that selects checkpoints to keep and average, and decides early stopping",
        on_resume="free",
        before="bleu",
    )
    patience: int = knob(
        0,
        ge=0,
        description="stop after this many validations in a row with neither a better score nor a lower loss; 0: never",
        on_resume="free",
    )
    keep_last: int = knob(2, ge=1, description="number of newest checkpoints to keep", on_resume="free")
    keep_best: int = knob(
        5, ge=0, description="number of best checkpoints to keep, and to average at the end", on_resume="free"
    )
    validation_sentences: int = knob(
        0, ge=0, description="validate on the first pairs only, this many; 0: all", on_resume="free"
    )

    @model_validator(mode="after")
    def check(self) -> "TrainingConfig":
        if self.optimizer == "schedule_free" and self.schedule != "constant":
            raise ValueError(
                f'training.schedule is "{self.schedule}", but training.optimizer "schedule_free" averages instead of '
                'lowering the learning rate: set training.schedule to "constant"'
            )
        if self.optimizer == "schedule_free" and not self.beta1:
            raise ValueError('training.beta1 is 0.0, but training.optimizer "schedule_free" needs a value above 0')
        for name in ("muon_momentum", "muon_scale"):
            if self.optimizer != "muon" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f'training.{name} is for muon: set training.optimizer to "muon" too')
        if self.objective != "r_drop" and self.consistency != type(self).model_fields["consistency"].default:
            raise ValueError('training.consistency is for r_drop: set training.objective to "r_drop" too')
        return self

    @property
    def copies(self) -> int:
        """How often an update reads each pair: R-Drop reads it twice."""
        return 2 if self.objective == "r_drop" else 1


class DecodingConfig(Knobs):
    """How translations are searched for: in validation, after training, and by default in `dragoman translate`."""

    usual = Facts(on_resume="free", shapes_parameters=False, changes_translation=True)

    beam: int = knob(
        5,
        ge=1,
        le=10000,
        description="hypotheses kept for each sentence, or samples drawn; 1: greedy",
        export="carried",
    )
    length_penalty: float = knob(
        1.0,
        ge=0.0,
        le=10.0,
        description="exponent of the length penalty that log-probabilities are divided by; 0: no penalty",
        export="carried",
    )
    penalty: Literal["gnmt", "power"] = knob(
        "gnmt",
        description="length penalty: ((5 + length) / 6) ** exponent, or length ** exponent; length includes EOS",
        export="carried",
    )
    patience: float = knob(
        1.0,
        gt=0.0,
        le=1000.0,
        description="beam search ends once patience * beam hypotheses have finished, or earlier if none can improve",
        export="default_only",
    )
    groups: int = knob(
        1,
        ge=1,
        description="diverse beam search: groups into which the beam is divided; 1: none",
        export="default_only",
    )
    diversity: float = knob(
        0.5,
        ge=0.0,
        description="with groups: penalty on a token for each hypothesis of an earlier group that chose it",
        export="unused",
    )
    sampling: bool = knob(
        False, description="draw `beam` samples for each sentence instead of searching", export="default_only"
    )
    temperature: float = knob(
        1.0, gt=0.0, description="sampling: below 1 favours likelier tokens, above 1 varies more", export="unused"
    )
    top_k: int = knob(0, ge=0, description="sampling: only this many likeliest tokens; 0: all", export="unused")
    top_p: float = knob(
        1.0,
        gt=0.0,
        le=1.0,
        description="sampling: only the smallest set of likeliest tokens with this total probability",
        export="unused",
    )
    seed: int = knob(
        1, ge=0, lt=2**31, description="sampling: seed; a line's samples depend on it and its number", export="unused"
    )
    repetition_penalty: float = knob(
        1.0,
        ge=1.0,
        description="multiplies the log-probabilities of tokens already in the output; 1: no penalty",
        export="default_only",
    )
    unrepeated: int = knob(
        0, ge=0, description="no sequence of this many tokens appears twice; 0: no such rule", export="default_only"
    )
    minimum_ratio: float = knob(
        0.0, ge=0.0, description="shortest output: this times the source's tokens ...", export="default_only"
    )
    minimum_length: int = knob(0, ge=0, description="... plus this many tokens", export="default_only")
    maximum_ratio: float = knob(
        2.0, ge=0.0, description="longest output: this times the source's tokens ...", export="carried"
    )
    maximum_extra: int = knob(16, ge=0, description="... plus this many tokens", export="carried")
    # Older runs translate rough text in the new way too; their clean text is translated as before.
    sentences: Literal["auto", "always", "never"] = knob(
        "auto",
        description="split lines into sentences, translate each, and join them; auto: unless a tenth of the training "
        "lines hold several sentences",
        export="carried",
        before="auto",
    )
    capitals: Literal["upper", "usual", "keep"] = knob(
        "upper",
        description="lines in capitals or Title Case are translated through their usual form; upper: translations of "
        "lines in capitals are put in capitals; usual: they are not; keep: lines are translated as they are",
        export="carried",
        before="upper",
    )
    rows: int = knob(
        0,
        ge=0,
        le=65536,
        description="sentences that a device decodes side by side; fixed, so that a translation never depends on its "
        "neighbours; 0: 8 on CPUs, 128 on GPU and TPU",
        export="unused",
    )

    @model_validator(mode="after")
    def check(self) -> "DecodingConfig":
        if self.beam % self.groups:
            raise ValueError(f"decoding.beam is {self.beam}, which is not divisible by decoding.groups, {self.groups}")
        if self.sampling and self.groups > 1:
            raise ValueError("decoding.sampling cannot be combined with decoding.groups: set one of them")
        drawn = {"temperature": self.temperature != 1.0, "top_k": self.top_k > 0, "top_p": self.top_p < 1.0}
        for name, is_set in drawn.items():
            if is_set and not self.sampling:
                raise ValueError(f"decoding.{name} is for sampling: set decoding.sampling too")
        return self


class DevicesConfig(Knobs):
    """How one update is divided among the devices; a single device is the mesh 1 x 1 x 1."""

    usual = Facts(on_resume="free", shapes_parameters=False, changes_translation=False)

    strategy: Literal["mesh", "pmap"] = Field(
        "mesh", description="jit over a mesh, or the same step replicated by pmap"
    )
    data: int = Field(0, ge=0, description="devices that share the rows of a batch; 0: all remaining devices")
    fsdp: int = Field(1, ge=1, description="devices that share rows, and each parameter's storage (mesh)")
    tensor: int = Field(1, ge=1, description="devices that share each layer's heads and hidden features (mesh)")
    compile_ahead: Literal["auto", "on", "off"] = knob(
        "auto",
        description="compile the programs of validation in a thread while training begins; auto: on accelerators, "
        "since on a CPU it would take time from training",
        before="off",
    )
    peak_tflops: float = Field(
        0.0,
        ge=0.0,
        description="peak TFLOP/s of one device, to report utilisation; 0: from a table of known devices",
    )


class Config(Section):
    """A recipe, with one section for each part of the system."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    devices: DevicesConfig = DevicesConfig()

    @model_validator(mode="after")
    def check(self) -> "Config":
        if self.model.tied == "all" and self.data.vocabulary == "separate":
            raise ValueError('model.tied is "all", which needs data.vocabulary "joint": use "output" or "none"')
        if self.training.objective == "both_sides" and self.model.source_attention != "causal":
            raise ValueError(
                'training.objective is "both_sides", which predicts each source token from earlier ones: set '
                'model.assembly to "decoder_only" and model.source_attention to "causal"'
            )
        if self.training.objective == "r_drop" and not self.model.dropout and not self.model.activation_dropout:
            raise ValueError(
                'training.objective is "r_drop", which needs dropout: set model.dropout, to 0.2 for example'
            )
        for name in ("denoise_share", "denoise_whole_words", "denoise_sides"):
            is_set = getattr(self.data, name) != DataConfig.model_fields[name].default
            if is_set and self.model.assembly != "denoising_encoder":
                raise ValueError(f'data.{name} is for denoising_encoder: set model.assembly to "denoising_encoder" too')
        longest = self.data.maximum_tokens
        if self.data.row_length < longest:
            raise ValueError(f"data.row_length is {self.data.row_length}, shorter than data.maximum_tokens, {longest}")
        if longest > self.model.maximum_length:
            raise ValueError(
                f"data.maximum_tokens is {longest}, longer than model.maximum_length, {self.model.maximum_length}"
            )
        if self.devices.strategy == "pmap" and self.devices.fsdp * self.devices.tensor > 1:
            raise ValueError('devices.strategy "pmap" only replicates: devices.fsdp and devices.tensor must be 1')
        return self

    def with_model(self, changes: dict[str, Any]) -> "Config":
        """The recipe with these changes to its model section, which are not validated."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def with_training(self, changes: dict[str, Any]) -> "Config":
        """The recipe with these changes to its training section, which are not validated."""
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})

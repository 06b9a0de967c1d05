"""A peer for benchmarks/train.py: updates of Hugging Face's MarianMTModel in PyTorch, timed one by one.

It runs in an environment of its own (torch, transformers, sentencepiece), never in the project's. The peer gets what a
careful user would give it: batches of sentences of similar length within a budget of target tokens, fused AdamW, tied
embeddings, label smoothing, and PyTorch's own fused attention (scaled_dot_product_attention, which chooses among its
kernels, flash attention included). Text is tokenised before the clock starts, and every epoch uses the same batches.
With `--compiled`, the model and its loss go through torch.compile for any lengths, and every batch that is timed is
computed once before, so that compiling is never timed.
"""

import random
from itertools import cycle, islice

import sentencepiece
import torch
from peer import LONGEST, WARM_UP, answer, now, parse, read
from torch.nn.functional import cross_entropy
from transformers import MarianConfig, MarianMTModel


def lines(path: str) -> list[str]:
    """The lines of a file."""
    return [line.decode("utf-8") for line in read(path).split(b"\n")[:-1]]


def group(pairs: list[tuple[list[int], list[int]]], budget: int) -> list[list[tuple[list[int], list[int]]]]:
    """Batches of sentences of similar length in random order, each with at most `budget` target tokens and padding."""
    batches: list[list[tuple[list[int], list[int]]]] = [[]]
    for pair in sorted(pairs, key=lambda pair: (len(pair[1]), len(pair[0]))):
        if len(pair[1]) * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append(pair)
    random.Random(0).shuffle(batches)
    return batches


def pad(rows: list[list[int]], value: int) -> torch.Tensor:
    """Rows as one tensor, padded to the longest."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def main() -> None:
    """The command line."""
    options = parse(["float32", "bfloat16"])
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=options.tokenizer)
    padding, end, vocabulary = 0, 3, tokenizer.get_piece_size()
    sides = [tokenizer.encode(lines(path)) for path in (options.source, options.target)]
    pairs = [([*s, end], [*t, end]) for s, t in zip(*sides, strict=True) if s and t and max(len(s), len(t)) <= LONGEST]
    model = MarianMTModel(
        MarianConfig(
            vocab_size=vocabulary,
            decoder_vocab_size=vocabulary,
            d_model=options.width,
            encoder_layers=options.layers,
            decoder_layers=options.layers,
            encoder_attention_heads=options.heads,
            decoder_attention_heads=options.heads,
            encoder_ffn_dim=options.feed_forward,
            decoder_ffn_dim=options.feed_forward,
            dropout=options.dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=padding,
            eos_token_id=end,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
            max_position_embeddings=256,
        )
    )
    model.set_attn_implementation("sdpa")
    model = model.to(device).train()

    def loss_of(source: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        mask = (source != padding).long()
        logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=inputs, use_cache=False).logits
        flat = logits.float().reshape(-1, vocabulary)
        return cross_entropy(flat, labels.reshape(-1), ignore_index=padding, label_smoothing=0.1)

    system = "transformers MarianMTModel"
    if options.compiled:
        loss_of, system = torch.compile(loss_of, dynamic=True), "MarianMTModel, compiled"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
    tokens, seconds = [], []
    chosen = list(islice(cycle(group(pairs, options.batch_tokens)), WARM_UP + options.steps))
    for batch in [*(chosen if options.compiled else []), *chosen]:
        start = now()
        source = pad([pair[0] for pair in batch], padding).to(device)
        labels = pad([pair[1] for pair in batch], padding).to(device)
        inputs = torch.cat([torch.full_like(labels[:, :1], 2), labels[:, :-1]], dim=1)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss = loss_of(source, inputs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(now() - start)
        tokens.append(sum(len(pair[1]) for pair in batch))
    answer(system, options.precision, model, tokens[-len(chosen) :], seconds[-len(chosen) :])


if __name__ == "__main__":
    main()

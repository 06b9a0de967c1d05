"""A peer for benchmarks/decode.py: Hugging Face's `generate` on a MarianMTModel with random weights.

It runs in an environment of its own (torch, transformers), never in the project's. It reads one JSON object from
standard input: sizes, beam, threads, and batches of source ids of similar length, each with the number of tokens to
write. It prints one JSON object with the seconds that all batches took, after one batch to warm up.
"""

import json
import sys

import torch
from peer import now
from transformers import MarianConfig, MarianMTModel

PAD, BOS, EOS = 0, 2, 3


def pad(rows: list[list[int]]) -> torch.Tensor:
    """Rows as one tensor, filled up to the longest."""
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def main() -> None:
    """Reads the task, and times it."""
    task = json.load(sys.stdin)
    torch.manual_seed(0)
    torch.set_num_threads(task["threads"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = MarianMTModel(
        MarianConfig(
            vocab_size=task["vocabulary"],
            decoder_vocab_size=task["vocabulary"],
            d_model=task["width"],
            encoder_layers=task["encoder_layers"],
            decoder_layers=task["decoder_layers"],
            encoder_attention_heads=task["heads"],
            decoder_attention_heads=task["heads"],
            encoder_ffn_dim=task["feed_forward"],
            decoder_ffn_dim=task["feed_forward"],
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=PAD,
            eos_token_id=EOS,
            decoder_start_token_id=BOS,
            forced_eos_token_id=None,
            max_position_embeddings=1024,
        )
    ).eval()
    model = model.to(device, dtype=getattr(torch, task["precision"]))

    def generate(rows: list[list[int]], length: int) -> None:
        source = pad(rows).to(device)
        written = model.generate(
            input_ids=source,
            attention_mask=(source != PAD).long(),
            num_beams=task["beam"],
            do_sample=False,
            min_new_tokens=length,
            max_new_tokens=length,
        )
        if written.shape[1] != 1 + length:
            sys.exit(f"generate wrote {written.shape[1] - 1} tokens, and was told to write {length}")

    generate(task["batches"][0], task["lengths"][0])
    start = now()
    for rows, length in zip(task["batches"], task["lengths"], strict=True):
        generate(rows, length)
    print(json.dumps({"seconds": now() - start, "torch": torch.__version__}))


if __name__ == "__main__":
    main()

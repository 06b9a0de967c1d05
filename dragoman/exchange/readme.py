"""The README.md that goes with an exported model: what it is and how to use it."""

PENALTIES = {
    "gnmt": "((5 + length) / 6) ** penalty (Wu et al. 2016, equation 14)",
    "power": "length ** penalty",
}

CTRANSLATE2 = """\
# {source_language} to {target_language}, for CTranslate2

Exported from the run `{run}`, step {step}, weights in {quantization}. Needs `pip install ctranslate2 sentencepiece`.

    python translate.py < input.txt > output.txt
    python translate.py --beam 1 --compute-type int8 < input.txt > output.txt

`translate.py` is short: read it to see how the model is meant to be used from another program.

| file | what it is |
|---|---|
| `model.bin`, `config.json`, `*_vocabulary.json` | the model, as CTranslate2 reads it |
| {tokenizers} | SentencePiece, joint or the source's and the target's |
| `dragoman.json` | beam, length penalty and length limits of the run, by which translate.py searches |
| `translate.py` | lines in, translations out |

What to know when you call CTranslate2 yourself:

- Source tokens are SentencePiece pieces without an end: CTranslate2 adds `</s>`.
- Suppress `<pad>`, `<unk>` and `<s>`, and set `min_decoding_length=0`, as translate.py does.
- No more than {maximum_length} tokens on either side, `</s>` counted: set `max_decoding_length` and `max_input_length`,
  and split longer lines first, since CTranslate2 silently drops what exceeds its limit.
- The run divides log-probabilities by {formula}, where the length includes the end. translate.py
  searches without a penalty and ranks the finished hypotheses by that formula. The `length_penalty` of CTranslate2
  divides by length ** penalty during the search, and sometimes gives other translations.
"""

SAFETENSORS = """\
# {source} to {target}: parameters

Exported from the run `{run}`, step {step}. `model.safetensors` holds float32 arrays by dotted path, such as
`decoder.0.cross_attention.query.kernel`; `config.json` the architecture (`model`), the text side (`data`), how the run
searches (`decoding`) and the special ids; the tokenizer is SentencePiece. Nothing here searches by itself.

- A `kernel` is [in, out]: the layer is `x @ kernel + bias`. Attention keys have no bias.
- Embeddings are multiplied by the square root of the width. Under `tied = "all"` the matrix of the target is also the
  source's and the output's, under `"output"` the output's only.
- `*_residual.norm` is the normalisation of that sub-layer, before it (`norm_position = "pre"`, then `encoder_norm` and
  `decoder_norm` close the stacks) or after the sum (`"post"`); epsilon is 1e-6. `gelu` is the tanh approximation.
- Sources end with the eos id; targets start from the bos id. Sinusoids are in halves: sines, then cosines.
"""

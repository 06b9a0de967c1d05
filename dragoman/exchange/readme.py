"""The README.md of an exported model: what it is and how to use it."""

PENALTIES = {
    "gnmt": "((5 + length) / 6) ** penalty (Wu et al. 2016, equation 14)",
    "power": "length ** penalty",
}

CTRANSLATE2 = """\
# {source_language} to {target_language}, for CTranslate2

Exported from the run `{run}`, step {step}, weights in {quantization}. Needs `pip install ctranslate2 sentencepiece`.

    python translate.py < input.txt > output.txt
    python translate.py --beam 1 --compute-type int8 < input.txt > output.txt

`translate.py` is short. Read it to see how to use the model from another program.

| file | what it is |
|---|---|
| `model.bin`, `config.json`, `*_vocabulary.json` | the model, as CTranslate2 reads it |
| {tokenizers} | the SentencePiece vocabulary: one file if joint, else one for each language |
| `dragoman.json` | the run's beam, length penalty and length limits, which translate.py uses |
| `translate.py` | translates standard input, line by line |
| `data/`, `source_text.json` | what translate.py prepares lines with, as the run does: spaces, capitals, sentences |

If you call CTranslate2 yourself:

- Prepare each line first, as translate.py does: `prepare` of `data/text/preparation.py` gives its sentences.
- Source tokens are SentencePiece pieces without `</s>`, which CTranslate2 adds.
- A decoder-only model (`assembly` in `dragoman.json`) is a `ctranslate2.Generator`, and its prompt is `<s>`, the pieces
  of the source, `<s>`. Search prompts of equal length together, with `include_prompt_in_result=False`.
- Suppress `<pad>`, `<unk>` and `<s>`, and set `min_decoding_length=0`, as translate.py does.
- Use no more than {maximum_length} tokens on either side, including `</s>`: set `max_decoding_length` and
  `max_input_length`, and split longer lines first, because CTranslate2 silently drops tokens beyond its limit.
- The run divides log-probabilities by {formula}, where the length includes the end. translate.py
  searches without a penalty and ranks the finished hypotheses by that formula. The `length_penalty` of CTranslate2
  divides by length ** penalty during the search, and sometimes gives different translations.
"""

SAFETENSORS = """\
# {source} to {target}: parameters

Exported from the run `{run}`, step {step}. `model.safetensors` holds float32 arrays by dotted path, such as
`decoder.0.cross_attention.query.kernel`. `config.json` holds the architecture (`model`), the text options (`data`), the
search options (`decoding`) and the special ids. The tokenizer is SentencePiece. No search program is included.

- A `kernel` is [in, out]: the layer is `x @ kernel + bias`. Attention keys have no bias.
- Embeddings are multiplied by the square root of the width. With `tied = "all"`, source, target and output share the
  target's matrix; with `"output"`, target and output do.
- `*_residual.norm` normalises before the sub-layer (`norm_position = "pre"`; then `encoder_norm` and `decoder_norm`
  follow the last layers) or after the sum (`"post"`). Epsilon is 1e-6. `gelu` is the tanh approximation.
- Sources end with the eos id; targets start from the bos id. Sinusoids are in halves: sines, then cosines.
"""

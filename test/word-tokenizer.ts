/** A `tokenizer.json`: whole words with an end mark behind them. */
export const wordTokenizer = {
  version: "1.0",
  added_tokens: [
    { id: 1, content: "</s>", special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
  ],
  normalizer: { type: "Lowercase" },
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
    pair: [],
    special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
  },
  decoder: null,
  model: { type: "WordLevel", unk_token: "<unk>", vocab: { "<unk>": 0, "</s>": 1, two: 2, cats: 3, dogs: 4 } },
};

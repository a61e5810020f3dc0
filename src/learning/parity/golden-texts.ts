/** Texts with their ids in OpenAI's vocabulary, without start and end of text. */
export const goldenTexts: readonly (readonly [text: string, ids: readonly number[]])[] = [
  ["hello world!", [3306, 1002, 256]],
  ["a diagram", [320, 22697]],
  ["a dog", [320, 1929]],
  ["a cat", [320, 2368]],
  ["a photo of a cat", [320, 1125, 539, 320, 2368]],
  ["a photo of 2 cats", [320, 1125, 539, 273, 3989]],
  ["it's 2024, isn't it?", [585, 568, 273, 271, 273, 275, 267, 2923, 713, 585, 286]],
  ["naïve café", [1097, 35689, 563, 15304]],
  ["日本語", [39121, 44353, 34002, 508]],
  ["🙂", [14860]],
  ["&lt;b&gt; &amp;amp;", [283, 321, 285, 261]],
  ["supercalifragilisticexpialidocious", [1642, 2857, 13093, 2076, 5868, 26850, 835, 639, 38466]],
  ["<|endoftext|> hi", [49407, 1883]],
  ["", []],
  ["x^2+y^2=1", [343, 317, 273, 266, 344, 317, 273, 284, 272]],
  ["I'LL", [328, 1342]],
];

/** The most that a configuration or an index of weights may have; the largest published have less than a tenth. */
export const maxConfigBytes = 16 * 2 ** 20;
/** The most that a vocabulary or a list of words may have: Gemma's tokenizer.json has 34 MB. */
export const maxVocabularyBytes = 256 * 2 ** 20;

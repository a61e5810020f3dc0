/** Size limit of a configuration or weight index; the largest published ones stay below a tenth of it. */
export const maxConfigBytes = 16 * 2 ** 20;
/** Size limit of a vocabulary or word list; Gemma's tokenizer.json has 34 MB. */
export const maxVocabularyBytes = 256 * 2 ** 20;

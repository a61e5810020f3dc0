import { dot } from "../embedding/encoder.ts";

/** Each label in each template, those of a label one after the other. */
export function* prompts(labels: readonly string[], templates: readonly string[]): Generator<string> {
  // A function as replacement, since "$&" in a label is no pattern.
  for (const label of labels) for (const template of templates) yield template.replaceAll("{}", () => label);
}

/**
 * For each label the mean over templates of its unit vectors, of unit length again.
 *
 * @param textEmbeds - of {@link prompts}, of unit length.
 */
export async function meanOverTemplates(
  textEmbeds: AsyncIterable<Float32Array>,
  templates: readonly string[],
): Promise<Float32Array[]> {
  const sums: Float32Array[] = [];
  let prompt = 0;
  for await (const textEmbed of textEmbeds) {
    const sum = (sums[Math.floor(prompt++ / templates.length)] ??= new Float32Array(textEmbed.length));
    textEmbed.forEach((value, i) => (sum[i]! += value));
  }
  return sums.map((sum) => {
    const norm = Math.sqrt(dot(sum, sum));
    return sum.map((value) => value / norm);
  });
}

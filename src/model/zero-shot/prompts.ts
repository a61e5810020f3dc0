import type { Kind } from "../../core/options.ts";
import { fillTemplate } from "../../inputs/text/fill-template.ts";
import { dot } from "../embedding/encoder.ts";

/** A class: one name, or several names whose embeddings are averaged; the first is its label. */
export type ClassLabel = string | readonly string[];

/** A {@link ClassLabel} as an argument. */
export const labelKind: Kind = {
  wanted: "a string or the list of a class's names",
  fits: (value) =>
    typeof value === "string" || (Array.isArray(value) && value.every((name) => typeof name === "string")),
};

export const namesOf = (label: ClassLabel): readonly string[] => (typeof label === "string" ? [label] : label);

/** Yields every name of every label in every template, grouped by label. */
export function* prompts(labels: readonly ClassLabel[], templates: readonly string[]): Generator<string> {
  for (const name of labels.flatMap(namesOf)) {
    for (const template of templates) yield fillTemplate(template, name);
  }
}

/**
 * Embedding of each label: the normalized mean over its prompts.
 *
 * @param textEmbeds - unit vectors of {@link prompts}, in order.
 */
export async function meanOverPrompts(
  textEmbeds: AsyncIterable<Float32Array>,
  labels: readonly ClassLabel[],
  templates: readonly string[],
): Promise<Float32Array[]> {
  const labelOf = labels.flatMap((label, i) => namesOf(label).flatMap(() => templates.map(() => i)));
  const sums: Float32Array[] = [];
  let prompt = 0;
  for await (const textEmbed of textEmbeds) {
    const sum = (sums[labelOf[prompt++]!] ??= new Float32Array(textEmbed.length));
    textEmbed.forEach((value, i) => (sum[i]! += value));
  }
  return sums.map((sum) => {
    const norm = Math.sqrt(dot(sum, sum));
    return sum.map((value) => value / norm);
  });
}

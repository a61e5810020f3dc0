import type { Kind } from "../../core/options.ts";
import { fillTemplate } from "../../inputs/text/fill-template.ts";
import { dot } from "../embedding/encoder.ts";

/** What a class is called: one name, or several that all count and of which the first is its label. */
export type ClassLabel = string | readonly string[];

/** {@link ClassLabel}, at run time. */
export const labelKind: Kind = {
  wanted: "a string or the list of a class's names",
  fits: (value) =>
    typeof value === "string" || (Array.isArray(value) && value.every((name) => typeof name === "string")),
};

/** All names of a class. */
export const namesOf = (label: ClassLabel): readonly string[] => (typeof label === "string" ? [label] : label);

/** Each name of each label in each template, those of a label one after the other. */
export function* prompts(labels: readonly ClassLabel[], templates: readonly string[]): Generator<string> {
  for (const name of labels.flatMap(namesOf)) {
    for (const template of templates) yield fillTemplate(template, name);
  }
}

/**
 * For each label the mean over its names in all templates of their unit vectors, of unit length again.
 *
 * @param textEmbeds - of {@link prompts}, of unit length.
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

import type { ClipEncoder } from "../embedding/encoder.ts";
import { cleanText } from "../../inputs/text/clean.ts";
import { type ClassLabel, namesOf, prompts } from "./prompts.ts";

/**
 * For each label, the index of the first label with the same tokens in all prompts, usually its own. The model cannot distinguish
 * such labels. Most tokenizers ignore case, white space and the encoding of accents; some ignore punctuation.
 */
export async function firstAlike(
  encoder: ClipEncoder,
  labels: readonly ClassLabel[],
  templates: readonly string[],
): Promise<number[]> {
  const firsts = labels.map((_, i) => i);
  let groups = [[...firsts]];
  // After the first template, most labels are already unique.
  for (const template of templates) {
    const split: number[][] = [];
    for (const group of groups) {
      const keys = await tokenKeys(
        encoder,
        group.map((i) => labels[i]!),
        template,
      );
      const alike = new Map<string, number[]>();
      group.forEach((label, i) => {
        const others = alike.get(keys[i]!);
        if (others) others.push(label);
        else alike.set(keys[i]!, [label]);
      });
      split.push(...[...alike.values()].filter(({ length }) => length > 1));
    }
    groups = split;
  }
  for (const group of groups) for (const label of group) firsts[label] = group[0]!;
  return firsts;
}

/** A key of each label's tokens in a template, independent of the order of its names. */
async function tokenKeys(
  encoder: ClipEncoder,
  labels: readonly ClassLabel[],
  template: string,
): Promise<readonly string[]> {
  const { inputIds, contextLength } = await encoder.tokenize([...prompts(labels, [template])]);
  let row = 0;
  return labels.map((label) =>
    namesOf(label)
      .map(() => inputIds.subarray(row * contextLength, ++row * contextLength).join())
      .sort()
      .join(";"),
  );
}

/** For each name, the index of the first that people would consider equal, usually its own. */
export function firstOfName(names: readonly string[]): number[] {
  const firsts = new Map<string, number>();
  return names.map((name, i) => {
    const plain = cleanText(name.replaceAll("_", " "));
    if (!firsts.has(plain)) firsts.set(plain, i);
    return firsts.get(plain)!;
  });
}

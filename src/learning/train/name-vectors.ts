import { meanOverPrompts, prompts } from "../../model/zero-shot/prompts.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";

/** The names among which images are given theirs, each with the sentences that it is read in. */
export interface Names {
  readonly labels: readonly string[];
  /** Of each label. */
  readonly sentences: readonly (readonly string[])[];
}

/** How samples are named. */
export interface NamingOptions {
  /**
   * Whether the captions of a sample are sentences about one class, which is then read in all of them. Otherwise it is named by
   * the first. Default false.
   */
  readonly areClasses?: boolean | undefined;
  /** Sentences around each caption, averaged too. */
  readonly templates: readonly string[];
}

/** The names of samples: of each its first caption, each once. */
export function namesOf(samples: readonly Sample[], { areClasses = false, templates }: NamingOptions): Names {
  const sentences = new Map<string, string[]>();
  for (const { captions } of samples) {
    const [label] = captions as readonly [string, ...string[]];
    if (!sentences.has(label)) sentences.set(label, [...prompts(areClasses ? captions : [label], templates)]);
  }
  return { labels: [...sentences.keys()], sentences: [...sentences.values()] };
}

/**
 * For each name the mean of its sentences, of unit length again.
 *
 * @param textEmbeds - of all sentences in order, of unit length.
 */
export function nameVectors({ sentences }: Names, textEmbeds: AsyncIterable<Float32Array>): Promise<Float32Array[]> {
  return meanOverPrompts(textEmbeds, sentences, ["{}"]);
}

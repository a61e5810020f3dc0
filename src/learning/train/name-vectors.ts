import { meanOverPrompts, prompts } from "../../model/zero-shot/prompts.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";

/** The labels to choose from, each with its prompts. */
export interface Names {
  readonly labels: readonly string[];
  /** Of each label, averaged to its vector. */
  readonly sentences: readonly (readonly string[])[];
}

/** How samples are labelled. */
export interface NamingOptions {
  /** Whether a sample's captions are templates filled with its class; all are averaged. Default: only its first caption is used. */
  readonly areClasses?: boolean | undefined;
  /** Templates for each caption, averaged too. */
  readonly templates: readonly string[];
}

/** The labels of samples: their first captions, each once. */
export function namesOfSamples(samples: readonly Sample[], { areClasses = false, templates }: NamingOptions): Names {
  const sentences = new Map<string, string[]>();
  for (const { captions } of samples) {
    const [label] = captions as readonly [string, ...string[]];
    if (!sentences.has(label)) sentences.set(label, [...prompts(areClasses ? captions : [label], templates)]);
  }
  return { labels: [...sentences.keys()], sentences: [...sentences.values()] };
}

/**
 * The vector of each label: the mean of its sentences' embeddings, normalized.
 *
 * @param textEmbeds - of all sentences, in order.
 */
export function nameVectors({ sentences }: Names, textEmbeds: AsyncIterable<Float32Array>): Promise<Float32Array[]> {
  return meanOverPrompts(textEmbeds, sentences, ["{}"]);
}

import { ClipError } from "../../core/errors.ts";
import type { ImageSource } from "../../inputs/image/image-source.ts";
import { collect, type ClipEncoder } from "../../model/embedding/encoder.ts";

/** A part of a query: a text or an image, and how much it counts. */
export interface QueryTerm {
  readonly text?: string | undefined;
  readonly image?: ImageSource | undefined;
  /** Default 1; negative to find what is unlike it. */
  readonly weight?: number | undefined;
}

/** A text, an image, or several of them, which are added. */
export type Query = string | QueryTerm | readonly QueryTerm[];

/** The terms of a query in the order in which they were given, each with its weight. */
export function termsOf(query: Query): readonly (QueryTerm & { readonly weight: number })[] {
  const terms = typeof query === "string" ? [{ text: query }] : "length" in query ? query : [query];
  if (terms.length === 0) throw new ClipError("CLIP_USAGE", "the query is empty; give a text or an image");
  return terms.map(({ text, image, weight = 1 }) => {
    if ((text === undefined) === (image === undefined))
      throw new ClipError("CLIP_USAGE", "a term of a query is a text or an image");
    if (text?.trim() === "") throw new ClipError("CLIP_USAGE", "a text of the query is empty");
    if (!Number.isFinite(weight) || weight === 0)
      throw new ClipError("CLIP_USAGE", `the weight of a term must be a number other than 0, got ${weight}`);
    return { text, image, weight };
  });
}

/** Splits a weight from a text: `2:golden retriever`. A colon elsewhere, as in `12:30`, belongs to the text. */
export function parseTerm(written: string): QueryTerm & { readonly text: string } {
  const [, weight, text] = /^(\d+(?:\.\d+)?):(?!\d)(.*\S.*)$/s.exec(written) ?? [];
  return text === undefined ? { text: written } : { text: text.trim(), weight: Number(weight) };
}

/**
 * The query's vector: the weighted sum of its terms' embeddings, of length 1.
 *
 * @throws {ClipError} `CLIP_USAGE` if the terms cancel each other.
 */
export async function embedQuery(
  encoder: ClipEncoder,
  query: Query,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Float32Array> {
  const sum = new Float32Array(encoder.embedDim);
  for (const { text, image, weight } of termsOf(query)) {
    const [vector] = await collect(
      image === undefined
        ? encoder.encodeTexts([text!], { signal, onTruncate: () => undefined })
        : encoder.encodeImages([image], { signal }),
    );
    for (let i = 0; i < sum.length; i++) sum[i]! += weight * vector![i]!;
  }
  const length = Math.hypot(...sum);
  if (length < 1e-6)
    throw new ClipError("CLIP_USAGE", "the terms of the query cancel each other; change their weights");
  return sum.map((value) => value / length);
}

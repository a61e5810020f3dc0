import { ClipError } from "../../core/errors.ts";
import {
  abortSignal,
  callback,
  checkKind,
  checkOptions,
  flag,
  type Kind,
  listOf,
  type OptionKinds,
  text,
  wholeNumber,
} from "../../core/options.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { type ClipEncoder, dot, encoderKind, type EncodeTextOptions } from "../embedding/encoder.ts";
import { type LogitParameters, logitOf, logSumExp } from "../embedding/logits.ts";
import { firstAlike, firstOfName } from "./equal-labels.ts";
import { type ClassLabel, labelKind, meanOverPrompts, namesOf, prompts } from "./prompts.ts";
import { defaultTemplates, noneOfThese, nullLabels } from "./templates.ts";

export interface ClassifierOptions {
  /** Sentences with `{}` for the label; their embeddings are averaged. Default {@link defaultTemplates}. */
  readonly templates?: readonly string[] | undefined;
  /** Adds the answer "none of these". Its probability is that of `nullLabels`, which compete with the others. */
  readonly none?: boolean | undefined;
  /**
   * Gives each label its own probability, independent of the others: its share against `nullLabels`, since CLIP's cosines
   * are meaningful only in comparison. SigLIP-style models always have such probabilities.
   */
  readonly multiLabel?: boolean | undefined;
  /** Stops between batches of sentences. */
  readonly signal?: AbortSignal | undefined;
  /** See {@link EncodeTextOptions}. */
  readonly onTruncate?: EncodeTextOptions["onTruncate"];
  /**
   * Called for two equivalent labels, such as "Rocket" and "rocket" or "ice_cream" and "ice cream", which share the probability.
   * Without it they are an error.
   */
  readonly onEqualLabels?: ((first: string, second: string) => void) | undefined;
}

export const classifierKinds: OptionKinds<ClassifierOptions> = {
  templates: listOf(text),
  none: flag,
  multiLabel: flag,
  signal: abortSignal,
  onTruncate: callback,
  onEqualLabels: callback,
};

export interface RankOptions {
  /** Number of labels to return; default all. Probabilities do not depend on it. */
  readonly topK?: number | undefined;
}
/** `Infinity` means all. */
export const rankKinds: OptionKinds<RankOptions> = {
  topK: { ...wholeNumber(1), fits: (value) => value === Infinity || wholeNumber(1).fits(value) },
};

export interface RankedLabel {
  readonly label: string;
  /** In [0, 1]; probabilities sum to 1, unless the classifier is multi-label. */
  readonly probability: number;
  /** Cosine of image and label, in [−1, 1]; comparable among labels of one image, hardly between images. */
  readonly similarity: number;
}

/**
 * Classifies images with arbitrary labels, whose embeddings are computed once and compared with each image's (Radford et al.
 * 2021, section 3.1).
 */
export class ZeroShotClassifier {
  /** Label of each class. */
  readonly classNames: readonly string[];
  /** float32 [E, C] with unit columns: embeddings averaged over names and templates, then normalized. */
  readonly zeroShotWeights: TensorData<"float32">;
  readonly #classes: readonly Float32Array[];
  /** Embeddings of the null labels; empty if unused. */
  readonly #nulls: readonly Float32Array[];
  readonly #logit: (similarity: number) => number;
  readonly #multiLabel: boolean;
  readonly #embedKind: Kind;

  private constructor(
    classNames: readonly string[],
    classes: readonly Float32Array[],
    nulls: readonly Float32Array[],
    model: LogitParameters,
    multiLabel: boolean,
  ) {
    [this.classNames, this.#classes, this.#nulls, this.#multiLabel] = [classNames, classes, nulls, multiLabel];
    this.#logit = logitOf(model);
    this.zeroShotWeights = columns(classes);
    const embedDim = classes[0]!.length;
    this.#embedKind = {
      wanted: `a vector of ${embedDim} numbers from encodeImages`,
      fits: (value) =>
        (ArrayBuffer.isView(value) || Array.isArray(value)) && (value as Float32Array).length === embedDim,
    };
  }

  /**
   * Encodes the labels.
   *
   * @param labels - name or names of each class; several names are averaged.
   * @throws {ClipError} `CLIP_USAGE` if there are no labels, one is empty, two are equivalent and `onEqualLabels` is missing, or a
   *   template has no `{}`; `CLIP_TEXT` if a sentence is too long and `onTruncate` is missing.
   */
  static async create(
    encoder: ClipEncoder,
    labels: readonly ClassLabel[],
    options: ClassifierOptions = {},
  ): Promise<ZeroShotClassifier> {
    const of = "ZeroShotClassifier.create";
    checkKind(`${of}: the encoder`, encoder, encoderKind);
    checkKind(`${of}: labels`, labels, listOf(labelKind));
    checkOptions(of, options, classifierKinds);
    const { templates = defaultTemplates, none = false, multiLabel = false, onEqualLabels, ...encoding } = options;
    const classes = checkLabels(labels, none);
    checkTemplates(templates);
    const sigmoid = encoder.config.score === "sigmoid";
    if (none && (multiLabel || sigmoid)) {
      const why = sigmoid ? "this model is always multi-label" : "with multiLabel";
      throw new ClipError(
        "CLIP_USAGE",
        `none and multiLabel exclude each other: ${why}, no label fits if all probabilities are below ½`,
      );
    }
    const names = classes.map(([name]) => name!);
    const alike = await firstAlike(encoder, classes, templates);
    firstOfName(names).forEach((ofName, label) => {
      const first = Math.min(ofName, alike[label]!);
      if (first < label) (onEqualLabels ?? refuseEqualLabels)(names[first]!, names[label]!);
    });
    const nulls = !sigmoid && (none || multiLabel) ? nullLabels : [];
    const encoded = [...classes, ...nulls];
    const textEmbeds = encoder.encodeTexts(prompts(encoded, templates), encoding);
    const vectors = await meanOverPrompts(textEmbeds, encoded, templates).catch(async (error: unknown) => {
      if (error instanceof ClipError && error.code === "CLIP_TEXT") await refuseLong(encoder, encoded, templates);
      throw error;
    });
    // Rounding differs between batches, but equivalent labels must tie.
    const own = alike.map((first) => vectors[first]!);
    const others = vectors.slice(classes.length);
    return new ZeroShotClassifier(names, own, others, encoder, multiLabel || sigmoid);
  }

  /**
   * Cosines of an image's embedding with each label, in the order of the labels.
   *
   * @throws {ClipError} `CLIP_USAGE` if it does not have the model's length.
   */
  similarities(imageEmbed: Float32Array): Float32Array {
    checkKind("imageEmbed", imageEmbed, this.#embedKind);
    return Float32Array.from(this.#classes, (label) => dot(imageEmbed, label));
  }

  /**
   * Labels of an image, best first.
   *
   * @param imageEmbed - float32 [E] of unit length, from `encodeImages`.
   * @throws {ClipError} `CLIP_RUNTIME` if an embedding contains NaN; `CLIP_USAGE` if it does not have the model's length.
   */
  rank(imageEmbed: Float32Array, options: RankOptions = {}): RankedLabel[] {
    checkOptions("rank", options, rankKinds);
    const { topK = Infinity } = options;
    const similarities = this.similarities(imageEmbed);
    const nullSimilarities = this.#nulls.map((label) => dot(imageEmbed, label));
    const { probabilities, none } = this.#shares(similarities, nullSimilarities);
    const ranked = this.classNames.map((label, i): RankedLabel => {
      return { label, probability: probabilities[i]!, similarity: similarities[i]! };
    });
    if (nullSimilarities.length > 0 && !this.#multiLabel)
      ranked.push({ label: noneOfThese, probability: none, similarity: Math.max(...nullSimilarities) });
    return ranked.sort((a, b) => b.probability - a.probability || b.similarity - a.similarity).slice(0, topK);
  }

  /**
   * Probabilities of the labels, in their order.
   *
   * @throws {ClipError} see {@link rank}.
   */
  probabilities(imageEmbed: Float32Array): number[] {
    const similarities = this.similarities(imageEmbed);
    const nullSimilarities = this.#nulls.map((label) => dot(imageEmbed, label));
    return this.#shares(similarities, nullSimilarities).probabilities;
  }

  /** Probabilities from cosines: of each label, and of all null labels together. */
  #shares(similarities: Float32Array, nullSimilarities: readonly number[]): { probabilities: number[]; none: number } {
    const logits = Array.from(similarities, this.#logit);
    const nullLogits = nullSimilarities.map(this.#logit);
    // A softmax against a logit of 0 is a sigmoid.
    const nullLogit = this.#multiLabel && nullLogits.length === 0 ? 0 : logSumExp(nullLogits);
    const total = logSumExp([...logits, nullLogit]);
    if (Number.isNaN(total))
      throw new ClipError("CLIP_RUNTIME", "the model's output is NaN; its weights are damaged or overflowed");
    const against = (logit: number) => (this.#multiLabel ? logSumExp([logit, nullLogit]) : total);
    return {
      probabilities: logits.map((logit) => Math.exp(logit - against(logit))),
      none: Math.exp(nullLogit - total),
    };
  }
}

function columns(vectors: readonly Float32Array[]): TensorData<"float32"> {
  const [rows, count] = [vectors[0]!.length, vectors.length];
  const matrix = new Float32Array(rows * count);
  vectors.forEach((vector, column) => vector.forEach((value, row) => (matrix[row * count + column] = value)));
  return float32(matrix, [rows, count]);
}

/** Trimmed names of each class. @throws {ClipError} `CLIP_USAGE`, see {@link ZeroShotClassifier.create}. */
export function checkLabels(labels: readonly ClassLabel[], none: boolean): string[][] {
  const classes = labels.map((label) => namesOf(label).map((name) => name.trim()));
  if (classes.length === 0) throw new ClipError("CLIP_USAGE", "there are no labels; give at least one");
  const empty = classes.findIndex((names) => names.length === 0 || names.includes(""));
  if (empty >= 0)
    throw new ClipError("CLIP_USAGE", `label ${empty + 1} of ${classes.length} is empty; remove or fill it`);
  const names = classes.map(([name]) => name!);
  if (none && names.includes(noneOfThese))
    throw new ClipError("CLIP_USAGE", `the label "${noneOfThese}" is added automatically; remove yours`);
  return classes;
}

function refuseEqualLabels(first: string, second: string): never {
  const [one, other] = [first, second].map((label) => JSON.stringify(label));
  const what =
    first === second
      ? `the label ${one} is given twice`
      : `the labels ${one} and ${other} are equivalent and would share the probability`;
  throw new ClipError("CLIP_USAGE", `${what}; remove one`);
}

/** Refuses prompts that are too long, with the label and template: a prompt's index would mean nothing to the user. */
async function refuseLong(
  encoder: ClipEncoder,
  classes: readonly ClassLabel[],
  templates: readonly string[],
): Promise<void> {
  for (const name of classes.flatMap(namesOf)) {
    const { truncated, contextLength } = await encoder.tokenize([...prompts([name], templates)]);
    const [first] = truncated;
    if (!first) continue;
    const shown = JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
    const excess = `${first.dropped} token${first.dropped === 1 ? "" : "s"} too long`;
    throw new ClipError(
      "CLIP_TEXT",
      `the label ${shown} in the template ${JSON.stringify(templates[first.index])} is ${excess}: the model reads ${contextLength}, ` +
        "including start and end of text; shorten it, or truncate it (onTruncate, --truncate)",
    );
  }
}

function checkTemplates(templates: readonly string[]): void {
  if (templates.length === 0) throw new ClipError("CLIP_USAGE", 'there are no templates; "{}" is the label alone');
  const without = templates.find((template) => !template.includes("{}"));
  if (without !== undefined)
    throw new ClipError(
      "CLIP_USAGE",
      `the template ${JSON.stringify(without)} has no {} to put the label in, as in "a photo of a {}"`,
    );
}

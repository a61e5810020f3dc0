import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { ClipError } from "../../core/errors.ts";
import { callback, checkKind, checkOptions, flag, listOf, type OptionKinds, record, text } from "../../core/options.ts";
import { type ClipEncoder, encoderKind } from "../../model/embedding/encoder.ts";
import { type ClassifierOptions, ZeroShotClassifier } from "../../model/zero-shot/classifier.ts";
import { namesOf } from "../../model/zero-shot/prompts.ts";
import type { NamedImages } from "./class-names.ts";
import {
  averagePrecision11,
  type Calibration,
  calibration,
  confusionPairs,
  meanOfKnown,
  recallAtK,
  rocAuc,
  truthRank,
} from "./classification-metrics.ts";
import { type Example, examplesOf } from "../../inputs/data/labelled-images.ts";
import { encodeReadable, readKinds, type ReadOptions } from "../../model/embedding/encode-readable.ts";

export interface ZeroShotOptions
  extends Pick<ClassifierOptions, "templates" | "onTruncate" | "onEqualLabels">, Omit<ReadOptions, "onSkip"> {
  /** Whether the images of a folder are frames of one video, whose probabilities are averaged. Default false. */
  readonly videos?: boolean | undefined;
  /** Called after each image with the number of finished images and of all images. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

const zeroShotKinds: OptionKinds<ZeroShotOptions> = {
  ...readKinds,
  ...{ templates: listOf(text), videos: flag, onTruncate: callback, onEqualLabels: callback, onProgress: callback },
};

/** The answer of a model for one image or video. */
export interface ZeroShotAnswer {
  /** Path of the image, or of the video's folder. */
  readonly name: string;
  /** One of its images: a path, or an archive and a path in it. */
  readonly image: string;
  readonly truths: readonly string[];
  /** The best answers, in order. */
  readonly ranked: readonly { readonly label: string; readonly probability: number }[];
  /** Number of wrong classes ranked before the best right one; ties count. */
  readonly rank: number;
  readonly truthProbability: number;
}

export interface ClassScores {
  readonly name: string;
  /** Number of images that show it. */
  readonly count: number;
  /** Share of them that got this label; undefined if there are none. */
  readonly recall: number | undefined;
  /** Share of the images with this label that show the class; undefined if no image got it. */
  readonly precision: number | undefined;
  readonly averagePrecision11: number | undefined;
}

/** The scores of a model on labelled images. All shares are in [0, 1]. */
export interface ZeroShotScores {
  /** Number of readable images or videos. */
  readonly count: number;
  readonly top1: number;
  readonly top5: number;
  /** Mean of the classes' recalls. */
  readonly meanPerClass: number;
  /** Mean 11-point average precision of the classes, VOC2007's metric. */
  readonly meanAveragePrecision11: number;
  /** Of the second class, where there are two. */
  readonly rocAuc: number | undefined;
  readonly calibration: Calibration;
  readonly classes: readonly ClassScores[];
  /** Confused classes, most frequent first. */
  readonly confusions: readonly { readonly truth: string; readonly predicted: string; readonly count: number }[];
  readonly answers: readonly ZeroShotAnswer[];
  readonly broken: readonly SkippedImage[];
}

/** Answers kept per image. */
const keptAnswers = 5;

/**
 * Measures zero-shot accuracy on labelled images (Radford et al. 2021, section 3.1). For an image with several classes any of them
 * is right. Ties count against the model.
 *
 * Holds a number for each image and class: 200 MB for ImageNet's 50,000 images and 1,000 classes.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const { top1, classes } = await evaluateZeroShot(clip, await readLabelledImages("test-images"));
 * console.log(top1, classes.map(({ name, recall }) => [name, recall]));
 * ```
 *
 * @param images - `classes` are put into the templates unchanged; several names of a class are averaged, and the first is its label.
 *   Classes of equal names share their probability and count against the model; `onEqualLabels` is called with them.
 * @throws {ClipError} `CLIP_DATA` if not one image can be read; `CLIP_USAGE` and `CLIP_TEXT` as {@link ZeroShotClassifier.create}.
 */
export async function evaluateZeroShot(
  encoder: ClipEncoder,
  images: Omit<NamedImages, "own">,
  options: ZeroShotOptions = {},
): Promise<ZeroShotScores> {
  checkKind("evaluateZeroShot: the model", encoder, encoderKind);
  checkKind("evaluateZeroShot: the images", images, record);
  checkOptions("evaluateZeroShot", options, zeroShotKinds);
  const { templates, onTruncate, onEqualLabels = () => {}, videos = false, onProgress, signal, ...reading } = options;
  const classifying = { templates, onTruncate, signal, onEqualLabels };
  const classifier = await ZeroShotClassifier.create(encoder, images.classes, classifying);
  const examples = examplesOf(images.samples, videos);
  const total = examples.reduce((sum, example) => sum + example.images.length, 0);
  const broken: SkippedImage[] = [];
  const rows: Float32Array[] = [];
  const answers: NumberedAnswer[] = [];
  let done = 0;
  const onSkip = (image: SkippedImage) => {
    broken.push(image);
    done++;
    onProgress?.(done, total);
  };
  for await (const { example, image, frames } of encodeExamples(encoder, examples, { ...reading, signal, onSkip })) {
    const probabilities = Float32Array.from(meanOf(frames.map((frame) => classifier.probabilities(frame))));
    // For a single image, cosines rank like probabilities but remain distinct near 0 and 1.
    const row = videos ? probabilities : classifier.similarities(frames[0]!);
    rows.push(row);
    answers.push(answerOf(example, image, row, probabilities));
    done += frames.length;
    onProgress?.(done, total);
  }
  if (answers.length === 0) {
    const example = broken[0] ? `: ${broken[0].reason}` : "";
    throw new ClipError("CLIP_DATA", `not one of ${total} images can be read${example}`);
  }
  const classes = images.classes.map((label) => namesOf(label)[0]!);
  return { ...summarize(classes, rows, answers), broken };
}

type EncodedExample = Readonly<{ example: Example; image: string; frames: Float32Array[] }>;

/** Yields examples with the embeddings of their readable images, if any. */
async function* encodeExamples(
  encoder: ClipEncoder,
  examples: readonly Example[],
  options: ReadOptions,
): AsyncGenerator<EncodedExample> {
  const images = examples.flatMap((example) => example.images.map((location) => ({ ...location, example })));
  let open: EncodedExample | undefined;
  for await (const [{ image, example }, imageEmbed] of encodeReadable(encoder, images, options)) {
    // The frames of a video are consecutive.
    if (open?.example !== example) {
      if (open) yield open;
      open = { example, image, frames: [] };
    }
    open.frames.push(imageEmbed);
  }
  if (open) yield open;
}

/** A {@link ZeroShotAnswer} with class indices. */
interface NumberedAnswer extends Omit<ZeroShotAnswer, "truths" | "ranked"> {
  readonly truths: readonly number[];
  /** The best classes, in order. */
  readonly best: readonly number[];
  readonly probabilities: readonly number[];
}

function answerOf(
  { name, labels: truths }: Example,
  image: string,
  row: Float32Array,
  probabilities: Float32Array,
): NumberedAnswer {
  // A tie with the truth counts as wrong, so it is sorted before it.
  const isRight = (label: number) => Number(truths.includes(label));
  const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || isRight(a) - isRight(b));
  const best = order.slice(0, keptAnswers);
  return {
    ...{ name, image, truths, best, rank: truthRank(row, truths) },
    probabilities: best.map((label) => probabilities[label]!),
    truthProbability: Math.max(...truths.map((label) => probabilities[label]!)),
  };
}

function summarize(
  classes: readonly string[],
  rows: readonly Float32Array[],
  answers: readonly NumberedAnswer[],
): Omit<ZeroShotScores, "broken"> {
  const ranks = answers.map(({ rank }) => rank);
  const perClass = classes.map((name, label): ClassScores => {
    const shown = answers.map(({ truths }) => truths.includes(label));
    const given = answers.map(({ best }) => best[0] === label);
    const right = shown.filter((is, i) => is && given[i]).length;
    const [count, called] = [shown.filter(Boolean).length, given.filter(Boolean).length];
    const scores = rows.map((row) => row[label]!);
    return {
      ...{ name, count },
      recall: count === 0 ? undefined : right / count,
      precision: called === 0 ? undefined : right / called,
      averagePrecision11: averagePrecision11(scores, shown),
    };
  });
  const mistaken = answers.filter(({ rank }) => rank > 0);
  const [truths, predicted] = [mistaken.map((answer) => answer.truths[0]!), mistaken.map(({ best }) => best[0]!)];
  const confidences = answers.map(({ probabilities }) => Math.min(1, probabilities[0]!));
  const right = ranks.map((rank) => rank === 0);
  const named = ({ truths, best, probabilities, ...answer }: NumberedAnswer): ZeroShotAnswer => ({
    ...answer,
    truths: truths.map((label) => classes[label]!),
    ranked: best.map((label, i) => ({ label: classes[label]!, probability: probabilities[i]! })),
  });
  return {
    ...{ count: answers.length, top1: recallAtK(ranks, 1), top5: recallAtK(ranks, 5) },
    meanPerClass: meanOfKnown(perClass.map(({ recall }) => recall))!,
    meanAveragePrecision11: meanOfKnown(perClass.map((scores) => scores.averagePrecision11))!,
    rocAuc: classes.length === 2 ? secondFromFirst(rows, answers) : undefined,
    calibration: calibration(confidences, right),
    classes: perClass,
    confusions: confusionPairs(truths, predicted).map(({ truth, predicted, count }) => {
      return { truth: classes[truth]!, predicted: classes[predicted]!, count };
    }),
    answers: answers.map(named),
  };
}

/** ROC AUC of two classes, scored by the difference of the second and the first. */
function secondFromFirst(rows: readonly Float32Array[], answers: readonly NumberedAnswer[]): number | undefined {
  const scores = rows.map((row) => row[1]! - row[0]!);
  const positive = answers.map(({ truths }) => truths.includes(1));
  return rocAuc(scores, positive);
}

function meanOf(vectors: readonly (readonly number[])[]): number[] {
  return vectors[0]!.map((_, i) => vectors.reduce((sum, vector) => sum + vector[i]!, 0) / vectors.length);
}

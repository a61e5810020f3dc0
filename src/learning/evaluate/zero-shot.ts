import { ClipError } from "../../core/errors.ts";
import type { ClipEncoder } from "../../model/embedding/encoder.ts";
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
import { type BrokenImage, encodeReadable, type ReadOptions } from "./encode-images.ts";

/** Options of {@link evaluateZeroShot}. */
export interface ZeroShotOptions
  extends Pick<ClassifierOptions, "templates" | "onTruncate" | "onEqualLabels">, Omit<ReadOptions, "onBroken"> {
  /** Treats the images of a folder as frames of one clip, and averages their probabilities. Default false. */
  readonly clips?: boolean | undefined;
  /** Called after each image. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** A model's answers for an image or clip. */
export interface Answer {
  /** Path of the image, or of the clip's folder. */
  readonly name: string;
  /** One of its images: a path, or an archive and a path in it. */
  readonly image: string;
  readonly truths: readonly string[];
  /** The best answers, in order. */
  readonly ranked: readonly { readonly label: string; readonly probability: number }[];
  /** Number of wrong answers before the best right one, ties included. */
  readonly rank: number;
  readonly truthProbability: number;
}

/** Scores of a class. */
export interface ClassScores {
  readonly name: string;
  /** Number of images that show it. */
  readonly count: number;
  /** Share of these that the model recognized; undefined if there are none. */
  readonly recall: number | undefined;
  /** Share of right ones among the images classified as it; undefined if there are none. */
  readonly precision: number | undefined;
  readonly averagePrecision11: number | undefined;
}

/** Scores of a model on labelled images. All shares are in [0, 1]. */
export interface ZeroShotScores {
  /** Number of readable images or clips. */
  readonly count: number;
  readonly top1: number;
  readonly top5: number;
  /** Mean recall of the classes. */
  readonly meanPerClass: number;
  /** Mean 11-point average precision of the classes, VOC2007's metric. */
  readonly meanAveragePrecision11: number;
  /** For two classes: ROC AUC of the second against the first. */
  readonly rocAuc: number | undefined;
  readonly calibration: Calibration;
  readonly classes: readonly ClassScores[];
  /** Confused classes, most frequent first. */
  readonly confusions: readonly { readonly truth: string; readonly predicted: string; readonly count: number }[];
  readonly answers: readonly Answer[];
  readonly broken: readonly BrokenImage[];
}

/** Answers kept per image. */
const keptAnswers = 5;

/**
 * Measures zero-shot classification (Radford et al. 2021, section 3.1). For an image with several classes, any of them is right. Ties
 * count as wrong.
 *
 * Keeps a float per image and class: 200 MB for ImageNet's 50,000 images and 1,000 classes.
 *
 * @param images - class names go into the templates unchanged; several names are averaged, and the first is the label. Equivalent
 *   names share their probability and count as wrong; `onEqualLabels` is called for them.
 * @throws {ClipError} `CLIP_DATA` if no image can be read; `CLIP_USAGE` and `CLIP_TEXT`, see {@link ZeroShotClassifier.create}.
 */
export async function evaluateZeroShot(
  encoder: ClipEncoder,
  images: Omit<NamedImages, "own">,
  {
    templates,
    onTruncate,
    onEqualLabels = () => {},
    clips = false,
    onProgress,
    signal,
    ...reading
  }: ZeroShotOptions = {},
): Promise<ZeroShotScores> {
  const classifier = await ZeroShotClassifier.create(encoder, images.classes, {
    ...{ templates, onTruncate, signal },
    onEqualLabels,
  });
  const examples = examplesOf(images.samples, clips);
  const total = examples.reduce((sum, example) => sum + example.images.length, 0);
  const broken: BrokenImage[] = [];
  const rows: Float32Array[] = [];
  const answers: NumberedAnswer[] = [];
  let done = 0;
  const onBroken = (image: BrokenImage) => {
    broken.push(image);
    onProgress?.(++done, total);
  };
  for await (const { example, image, frames } of encodeExamples(encoder, examples, { ...reading, signal, onBroken })) {
    const probabilities = Float32Array.from(meanOf(frames.map((frame) => classifier.probabilities(frame))));
    // For a single image, cosines rank like probabilities but remain distinct near 0 and 1.
    const row = clips ? probabilities : classifier.similarities(frames[0]!);
    rows.push(row);
    answers.push(answerOf(example, image, row, probabilities));
    onProgress?.((done += frames.length), total);
  }
  if (answers.length === 0) {
    const example = broken[0] ? `: ${broken[0].reason}` : "";
    throw new ClipError("CLIP_DATA", `not one of ${total} images can be read${example}`);
  }
  const classes = images.classes.map((label) => namesOf(label)[0]!);
  return { ...summarize(classes, rows, answers), broken };
}

/** Yields examples with the embeddings of their readable images, if any. */
async function* encodeExamples(
  encoder: ClipEncoder,
  examples: readonly Example[],
  options: ReadOptions,
): AsyncGenerator<{ readonly example: Example; readonly image: string; readonly frames: Float32Array[] }> {
  const exampleOf = new Map(
    examples.flatMap((example) => example.images.map((location) => [location.image, example] as const)),
  );
  const images = examples.flatMap((example) => example.images);
  let open: { readonly example: Example; readonly image: string; readonly frames: Float32Array[] } | undefined;
  for await (const { image, imageEmbed } of encodeReadable(encoder, images, options)) {
    const example = exampleOf.get(image)!;
    // The frames of a clip are consecutive.
    if (open?.example !== example) {
      if (open) yield open;
      open = { example, image, frames: [] };
    }
    open.frames.push(imageEmbed);
  }
  if (open) yield open;
}

/** An {@link Answer} with class indices. */
interface NumberedAnswer {
  readonly name: string;
  readonly image: string;
  readonly truths: readonly number[];
  /** The best classes, in order. */
  readonly best: readonly number[];
  readonly probabilities: readonly number[];
  readonly rank: number;
  readonly truthProbability: number;
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
    return {
      ...{ name, count },
      recall: count === 0 ? undefined : right / count,
      precision: called === 0 ? undefined : right / called,
      averagePrecision11: averagePrecision11(
        rows.map((row) => row[label]!),
        shown,
      ),
    };
  });
  const mistaken = answers.filter(({ rank }) => rank > 0);
  const pairs = confusionPairs(
    mistaken.map(({ truths }) => truths[0]!),
    mistaken.map(({ best }) => best[0]!),
  );
  const named = ({ truths, best, probabilities, ...answer }: NumberedAnswer): Answer => ({
    ...answer,
    truths: truths.map((label) => classes[label]!),
    ranked: best.map((label, i) => ({ label: classes[label]!, probability: probabilities[i]! })),
  });
  return {
    ...{ count: answers.length, top1: recallAtK(ranks, 1), top5: recallAtK(ranks, 5) },
    meanPerClass: meanOfKnown(perClass.map(({ recall }) => recall))!,
    meanAveragePrecision11: meanOfKnown(perClass.map((scores) => scores.averagePrecision11))!,
    rocAuc: classes.length === 2 ? secondFromFirst(rows, answers) : undefined,
    calibration: calibration(
      answers.map(({ probabilities }) => Math.min(1, probabilities[0]!)),
      ranks.map((rank) => rank === 0),
    ),
    classes: perClass,
    confusions: pairs.map(({ truth, predicted, count }) => ({
      ...{ truth: classes[truth]!, predicted: classes[predicted]!, count },
    })),
    answers: answers.map(named),
  };
}

/** ROC AUC of two classes, scored by the difference of the second and the first. */
function secondFromFirst(rows: readonly Float32Array[], answers: readonly NumberedAnswer[]): number | undefined {
  return rocAuc(
    rows.map((row) => row[1]! - row[0]!),
    answers.map(({ truths }) => truths.includes(1)),
  );
}

function meanOf(vectors: readonly (readonly number[])[]): number[] {
  return vectors[0]!.map((_, i) => vectors.reduce((sum, vector) => sum + vector[i]!, 0) / vectors.length);
}

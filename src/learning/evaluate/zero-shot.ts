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
import { encodeReadable, type ReadOptions } from "../../model/embedding/encode-readable.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";

/** How labelled images are named. */
export interface ZeroShotOptions
  extends Pick<ClassifierOptions, "templates" | "onTruncate" | "onEqualLabels">, Omit<ReadOptions, "onSkip"> {
  /** The images of one folder are frames of one clip: the probabilities of its classes are the means over them. Default false. */
  readonly clips?: boolean | undefined;
  /** Called after each image with how many are done. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** What a model answered to one image or clip. */
export interface Answer {
  /** Path of the image, or of the clip's folder. */
  readonly name: string;
  /** One of its images: a path, or an archive and the place in it. */
  readonly image: string;
  readonly truths: readonly string[];
  /** The best answers, best first. */
  readonly ranked: readonly { readonly label: string; readonly probability: number }[];
  /** How many wrong answers stand before the best right one; ties count. */
  readonly rank: number;
  readonly truthProbability: number;
}

/** How well a class is told from the others. */
export interface ClassScores {
  readonly name: string;
  /** Images that show it. */
  readonly count: number;
  /** The share of them that was given its name; undefined if there are none. */
  readonly recall: number | undefined;
  /** The share of those given its name that show it; undefined if it was never given. */
  readonly precision: number | undefined;
  readonly averagePrecision11: number | undefined;
}

/** A model on labelled images. All shares are in [0, 1]. */
export interface ZeroShotScores {
  /** Images or clips that could be read. */
  readonly count: number;
  readonly top1: number;
  readonly top5: number;
  /** Mean of the classes' recalls: each class weighs the same. */
  readonly meanPerClass: number;
  /** Mean of the classes' 11-point average precisions, VOC2007's measure. */
  readonly meanAveragePrecision11: number;
  /** Of two classes, that the second is told from the first. */
  readonly rocAuc: number | undefined;
  readonly calibration: Calibration;
  readonly classes: readonly ClassScores[];
  /** Names of what is taken for what, most often first. */
  readonly confusions: readonly { readonly truth: string; readonly predicted: string; readonly count: number }[];
  readonly answers: readonly Answer[];
  readonly broken: readonly SkippedImage[];
}

/** Answers kept of each image. */
const keptAnswers = 5;

/**
 * Names images by the names of their classes, zero-shot, and counts what is right (Radford et al. 2021, section 3.1). An image with
 * several classes is named rightly by any of them. Ties count against the model.
 *
 * Holds a number for each image and class: 200 MB for the 50,000 of ImageNet in 1,000 classes.
 *
 * @param images - the names of their classes are put into the templates as they are; several names of a class are averaged, and its first
 *   is its label. Classes whose names are the same to the model cannot be told apart, share their probability, and count against the
 *   model; `onEqualLabels` is told of them.
 * @throws {ClipError} `CLIP_DATA` if not one image can be read; `CLIP_USAGE` and `CLIP_TEXT` as {@link ZeroShotClassifier.create}.
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
  const broken: SkippedImage[] = [];
  const rows: Float32Array[] = [];
  const answers: NumberedAnswer[] = [];
  let done = 0;
  const onSkip = (image: SkippedImage) => {
    broken.push(image);
    onProgress?.(++done, total);
  };
  for await (const { example, image, frames } of encodeExamples(encoder, examples, { ...reading, signal, onSkip })) {
    const probabilities = Float32Array.from(meanOf(frames.map((frame) => classifier.probabilities(frame))));
    // Of a single image the cosines rank as the probabilities do, and stay apart where those come close to 0 or 1.
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

/** The examples of which an image can be read, with the embeddings of their images. */
async function* encodeExamples(
  encoder: ClipEncoder,
  examples: readonly Example[],
  options: ReadOptions,
): AsyncGenerator<{ readonly example: Example; readonly image: string; readonly frames: Float32Array[] }> {
  const images = examples.flatMap((example) => example.images.map((location) => ({ ...location, example })));
  let open: { readonly example: Example; readonly image: string; readonly frames: Float32Array[] } | undefined;
  for await (const [{ image, example }, imageEmbed] of encodeReadable(encoder, images, options)) {
    // The frames of a clip come one after the other.
    if (open?.example !== example) {
      if (open) yield open;
      open = { example, image, frames: [] };
    }
    open.frames.push(imageEmbed);
  }
  if (open) yield open;
}

/** An {@link Answer} with the numbers of classes. */
interface NumberedAnswer {
  readonly name: string;
  readonly image: string;
  readonly truths: readonly number[];
  /** All classes, best first: a right one before its equals. */
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
  // What ties with the truth counts as a mistake, and is therefore shown before it.
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

/** The area under the ROC curve of two classes: by how much more the second is claimed than the first. */
function secondFromFirst(rows: readonly Float32Array[], answers: readonly NumberedAnswer[]): number | undefined {
  return rocAuc(
    rows.map((row) => row[1]! - row[0]!),
    answers.map(({ truths }) => truths.includes(1)),
  );
}

function meanOf(vectors: readonly (readonly number[])[]): number[] {
  return vectors[0]!.map((_, i) => vectors.reduce((sum, vector) => sum + vector[i]!, 0) / vectors.length);
}

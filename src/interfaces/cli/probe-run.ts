import { writeSafetensors } from "../../model/checkpoints/write-safetensors.ts";
import { ClipError } from "../../core/errors.ts";
import { printable } from "../../core/printable.ts";
import { ClipEncoder } from "../../model/embedding/encoder.ts";
import { type ReadModelOptions } from "../../model/pretrained/model-files.ts";
import {
  drawPerClass,
  type HeadScores,
  type Probe,
  scoreHead,
  type SweepPoint,
  trainProbe,
  zeroShotHead,
} from "../../learning/evaluate/linear-probe.ts";
import { encodeLabelled, type FeatureKind } from "../../learning/evaluate/image-features.ts";
import { type LabelledImage, readLabelledImages, relabel } from "../../inputs/data/labelled-images.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { CliIo } from "./io.ts";
import { showSkipped } from "./eval-options.ts";
import { readChosenModel } from "./options.ts";
import { counted } from "../report/numbers.ts";
import { percent, table } from "./terminal.ts";

/** What `clip-ts probe` was asked for. */
interface ProbeRequest extends ReadModelOptions {
  readonly model?: string | undefined;
  readonly offline?: boolean | undefined;
  readonly train: string;
  readonly test?: string | undefined;
  readonly validation?: string | undefined;
  readonly images?: string | undefined;
  readonly shots?: number | undefined;
  readonly features?: FeatureKind | undefined;
  readonly init: "zeros" | "zero-shot";
  readonly template?: readonly string[] | undefined;
  readonly lambda?: number | undefined;
  readonly seed: number;
  readonly out?: string | undefined;
  readonly maxImagePixels: number;
  readonly json?: boolean | undefined;
}

/** Encodes the images, trains a head, and says how good it is. */
export async function runProbe(request: ProbeRequest, io: CliIo): Promise<void> {
  const kind = featuresOf(request);
  const { seed, shots, lambda } = request;
  // By image: one source may be named for several purposes.
  const left = new Map<string, SkippedImage>();
  const leaveOut = (skipped: readonly SkippedImage[]) => {
    const fresh = skipped.filter(({ image }) => !left.has(image));
    for (const skip of fresh) left.set(skip.image, skip);
    showSkipped(fresh, io);
  };
  const read = async (source: string) => {
    const images = await readLabelledImages(source, { images: request.images, signal: io.signal });
    leaveOut(images.skipped);
    return images;
  };
  const { classes, samples } = await read(request.train);
  if (classes.length < 2)
    throw new ClipError(
      "CLIP_DATA",
      `${request.train} has images of one class alone, "${classes[0]}"; a probe needs two`,
    );
  const others = async (source: string) => relabel(await read(source), classes, source);
  const validationImages = request.validation === undefined ? undefined : await others(request.validation);
  const testImages = request.test === undefined ? undefined : await others(request.test);
  const chosen = shots === undefined ? samples : drawShots(samples, classes, shots, seed);

  const { signal } = io;
  await using encoder = new ClipEncoder(await readChosenModel(request, io), { signal });
  const encode = (images: readonly LabelledImage[], what: string) =>
    encodeLabelled(encoder, images, kind, {
      maxImagePixels: request.maxImagePixels,
      signal,
      onImage: (done) => io.progress(`${what}: ${done} of ${images.length} images`),
      onSkip: (skipped) => leaveOut([skipped]),
    });
  const train = await encode(chosen, "train");
  const validation = validationImages && (await encode(validationImages, "validation"));
  const test = testImages && (await encode(testImages, "test"));
  const around = request.init === "zero-shot" ? await headOfNames(encoder, classes, request.template, io) : undefined;

  const onPoint = ({ lambda, accuracy }: SweepPoint) =>
    io.progress(`λ ${lambda.toExponential(2)}: ${percent(accuracy)} of what is held out`);
  const probe = await trainProbe(train, classes, { lambda, validation, seed, around, onPoint, signal });
  const scores = test && (await scoreHead(probe.head, test));
  const zeroShotScores = around && test && (await scoreHead(around, test));
  if (request.out !== undefined) {
    const { weight, bias } = probe.head;
    const metadata = { classes: JSON.stringify(classes), features: kind, lambda: String(probe.lambda) };
    await writeSafetensors(request.out, new Map(Object.entries({ weight, bias })), { metadata });
  }

  const about = { model: encoder.path, features: kind, width: probe.head.weight.shape[1]!, classes };
  const counts = { train: train.labels.length, validation: validation?.labels.length, test: test?.labels.length };
  const { iterations, reason, objective, sweep } = probe;
  if (request.json) {
    const fit = { lambda: probe.lambda, iterations, reason, objective };
    const measured = { test: scores, zeroShot: zeroShotScores };
    io.out(JSON.stringify({ ...about, images: counts, skipped: [...left.values()], ...fit, ...measured, sweep }));
  } else {
    const rows = sweep.length > 0 ? [sweepTable(probe), ""] : [];
    const fitted = `λ ${probe.lambda.toExponential(2)}, ${counted(counts.train, "image")} of ${classes.length} classes, ${about.width} numbers each`;
    const lines = [`${fitted}; ${counted(iterations, "step")}`, ...describeScores(classes, scores, zeroShotScores)];
    io.out([...rows, ...lines].join("\n"));
  }
  if (request.out !== undefined) io.err(`wrote ${request.out}`);
}

/**
 * The features that the head reads.
 *
 * @throws {ClipError} `CLIP_USAGE` if options contradict each other.
 */
function featuresOf(request: ProbeRequest): FeatureKind {
  if (request.test === undefined && request.out === undefined)
    throw new ClipError(
      "CLIP_USAGE",
      "the head would be neither measured nor kept; name images to measure it on by --test, or a file for it by --out",
    );
  const zeroShot = request.init === "zero-shot";
  const kind = request.features ?? (zeroShot ? "after" : "before");
  if (zeroShot && kind === "before")
    throw new ClipError(
      "CLIP_USAGE",
      "--init zero-shot needs --features after: texts have no vector before the projection",
    );
  if (request.template && !zeroShot)
    throw new ClipError("CLIP_USAGE", "--template is for --init zero-shot alone; give both or neither");
  return kind;
}

/** The head that texts of the classes' names make. */
function headOfNames(
  encoder: ClipEncoder,
  classes: readonly string[],
  templates: readonly string[] | undefined,
  io: CliIo,
): ReturnType<typeof zeroShotHead> {
  const names = classes.map((name) => name.replaceAll("_", " "));
  const onEqualLabels = (first: string, second: string) =>
    io.err(
      `the classes ${JSON.stringify(first)} and ${JSON.stringify(second)} say the same: zero-shot they cannot be told apart`,
    );
  return zeroShotHead(encoder, names, { templates, signal: io.signal, onEqualLabels });
}

/** So many of each class; a class that has fewer cannot be learnt from as many as the others. */
function drawShots(samples: readonly LabelledImage[], classes: readonly string[], shots: number, seed: number) {
  const labels = samples.map(({ label }) => label);
  const drawn = drawPerClass(labels, (count) => Math.min(shots, count), seed).map((i) => samples[i]!);
  const lacking = classes.find((_, c) => drawn.filter(({ label }) => label === c).length < shots);
  if (lacking === undefined) return drawn;
  throw new ClipError(
    "CLIP_DATA",
    `the class ${JSON.stringify(lacking)} has fewer than ${shots} images; lower --shots`,
  );
}

function sweepTable({ sweep, lambda }: Probe): string {
  const rows = sweep.map((point) => [
    point.lambda.toExponential(2),
    percent(point.accuracy),
    percent(point.meanPerClass),
    point.negativeLogLikelihood.toFixed(3),
    String(point.iterations),
    point.lambda === lambda ? "chosen" : "",
  ]);
  return table(["λ", "accuracy", "mean per class", "loss", "steps", ""], rows);
}

function describeScores(classes: readonly string[], scores?: HeadScores, zeroShot?: HeadScores): string[] {
  if (!scores) return [];
  const line = (name: string, { accuracy, meanPerClass }: HeadScores) =>
    `${name}  accuracy ${percent(accuracy)}, mean per class ${percent(meanPerClass)}`;
  const perClass = classes.flatMap((name, c) => {
    const share = scores.perClass[c]!;
    return Number.isNaN(share) ? [] : [[printable(name), percent(share)]];
  });
  return [
    ...(zeroShot ? [line("zero-shot", zeroShot)] : []),
    line("probe", scores),
    "",
    table(["class", "accuracy"], perClass),
  ];
}

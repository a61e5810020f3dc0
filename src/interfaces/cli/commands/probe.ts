import { Command, Option } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import type { SkippedImage } from "../../../inputs/data/image-files.ts";
import { type LabelledImage, readLabelledImages, relabel } from "../../../inputs/data/labelled-images.ts";
import { encodeLabelled, type FeatureKind } from "../../../learning/evaluate/image-features.ts";
import {
  drawPerClass,
  type HeadScores,
  type Probe,
  scoreHead,
  type SweepPoint,
  trainProbe,
  zeroShotHead,
} from "../../../learning/evaluate/linear-probe.ts";
import type { LinearHead } from "../../../learning/evaluate/logistic-regression.ts";
import { writeSafetensors } from "../../../model/checkpoints/write-safetensors.ts";
import { ClipEncoder } from "../../../model/embedding/encoder.ts";
import { defaultModel } from "../../../model/hub/known-models.ts";
import { counted } from "../../report/numbers.ts";
import type { CliIo } from "../io.ts";
import { addTemplateOptions, readTemplates, reportEqualLabels } from "../label-options.ts";
import { addModelOptions, encoderOptions, readChosenModel } from "../model-options.ts";
import {
  examples,
  imagesOption,
  jsonOption,
  maxImagePixelsOption,
  type OptionsOf,
  positive,
  seedOption,
  validationOption,
  parseWholeNumber,
} from "../options.ts";
import { printJson, showSkipped } from "../output.ts";
import { percentCell, table } from "../terminal.ts";

const command = () =>
  addModelOptions(
    addTemplateOptions(
      new Command("probe")
        .summary("train and evaluate a linear probe")
        .description(
          "The paper's linear probe: logistic regression on the features of labelled images, fitted by L-BFGS. The penalty's strength " +
            "λ is searched over 97 values from 1e-6 to 1e6 on validation images, and the head is then fitted to all images. The " +
            "model does not change.\n\n" +
            "The data is a folder with one folder per class, or a .csv, .tsv or .jsonl with the columns image (or path, filepath) " +
            "and label. Templates are for --init zero-shot.",
        )
        .argument("<data>", "labelled images to train on")
        .option("--test <source>", "labelled images to measure the accuracy on")
        .addOption(validationOption("a fifth of each class of the data"))
        .option("--shots <n>", "train on n images of each class, drawn by --seed", parseWholeNumber())
        .addOption(
          new Option(
            "--features <kind>",
            "features before the projection, as in the paper, or embeds after it (default: before; with --init zero-shot: after)",
          ).choices(["before", "after"] as const),
        )
        .addOption(
          new Option("--init <head>", "the head that the penalty pulls towards: zeros, or the zero-shot classifier")
            .choices(["zeros", "zero-shot"] as const)
            .default("zeros" as const),
        ),
    )
      .option("--lambda <value>", "use this λ instead of the search; 1/λ is scikit-learn's C", positive)
      .addOption(seedOption)
      .option("--out <file>", "write the head's weight and bias to a safetensors file")
      .addOption(imagesOption),
  )
    .addOption(maxImagePixelsOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts probe pets/train --test pets/test --out pets.safetensors",
        "clip-ts probe pets.csv --test pets/test --model ViT-B/32 --shots 16",
        'clip-ts probe pets/train --test pets/test --shots 4 --init zero-shot --template "a photo of a {}"',
      ),
    );
type ProbeOptions = OptionsOf<typeof command>;

export const probeCommand = (io: CliIo) =>
  command().action(async (data, options) => {
    const { out, json } = options;
    const features = featuresOf(options);
    const templates = await readTemplates(options, io);
    const images = await readImages(data, options, io);
    const model = await readChosenModel(options, io);
    await using encoder = new ClipEncoder(model, { ...encoderOptions(options), signal: io.signal });
    const around = options.init === "zero-shot" ? await labelHead(encoder, images.classes, templates, io) : undefined;
    const fitted = await fitHead(encoder, images, { ...options, features, around }, io);
    if (out !== undefined) await writeHead(out, fitted);
    const skipped = [...images.skipped.values()];
    if (json) printJson({ model: options.model ?? defaultModel, data, results: resultsOf(fitted), skipped }, io);
    else io.out(describe(fitted).join("\n"));
    if (out !== undefined) io.err(`wrote ${out}`);
  });

/**
 * The features that the head reads.
 *
 * @throws {ClipError} `CLIP_USAGE` if options contradict each other.
 */
function featuresOf({ test, out, init, ...options }: ProbeOptions): FeatureKind {
  if (test === undefined && out === undefined)
    throw new ClipError("CLIP_USAGE", "add --test to measure the head's accuracy, --out to save the head, or both");
  const zeroShot = init === "zero-shot";
  const kind = options.features ?? (zeroShot ? "after" : "before");
  if (zeroShot && kind === "before")
    throw new ClipError("CLIP_USAGE", "--init zero-shot needs --features after: texts have no features before it");
  if ((options.template ?? options.templatesFile) !== undefined && !zeroShot)
    throw new ClipError("CLIP_USAGE", "templates are for --init zero-shot; add it, or leave out the templates");
  return kind;
}

/** Reads training, validation and test images, with the classes of the training images. */
async function readImages(data: string, { shots, seed = 1, ...options }: ProbeOptions, io: CliIo) {
  // By image, as one source may have two purposes.
  const skipped = new Map<string, SkippedImage>();
  const skip = (broken: readonly SkippedImage[]) => {
    const fresh = broken.filter(({ image }) => !skipped.has(image));
    for (const each of fresh) skipped.set(each.image, each);
    showSkipped(fresh, io);
  };
  const read = async (source: string) => {
    const images = await readLabelledImages(source, { images: options.images, signal: io.signal });
    skip(images.skipped);
    return images;
  };
  const { classes, samples } = await read(data);
  if (classes.length < 2)
    throw new ClipError("CLIP_DATA", `${data} has only images of "${classes[0]}"; a probe needs two classes`);
  const others = async (source: string | undefined) =>
    source === undefined ? undefined : relabel(await read(source), classes, source);
  const validation = await others(options.validation);
  const test = await others(options.test);
  const train = shots === undefined ? samples : drawShots(samples, classes, shots, seed);
  return { classes, train, validation, test, skipped, skip };
}

function drawShots(samples: readonly LabelledImage[], classes: readonly string[], shots: number, seed: number) {
  const labels = samples.map(({ label }) => label);
  const drawn = drawPerClass(labels, (count) => Math.min(shots, count), seed).map((i) => samples[i]!);
  const lacking = classes.find((_, c) => drawn.filter(({ label }) => label === c).length < shots);
  if (lacking === undefined) return drawn;
  throw new ClipError("CLIP_DATA", `class ${JSON.stringify(lacking)} has fewer than ${shots} images; lower --shots`);
}

async function fitHead(
  encoder: ClipEncoder,
  { classes, skip, ...images }: Awaited<ReturnType<typeof readImages>>,
  options: Omit<ProbeOptions, "features"> & { readonly features: FeatureKind; readonly around: LinearHead | undefined },
  io: CliIo,
) {
  const { features, around, lambda, seed = 1, maxImagePixels } = options;
  const { signal } = io;
  const encode = (images: readonly LabelledImage[], purpose: string) =>
    encodeLabelled(encoder, images, features, {
      ...{ maxImagePixels, signal },
      onImage: (done) => io.progress(`${purpose}: ${done} of ${images.length} images`),
      onSkip: (broken) => skip([broken]),
    });
  const train = await encode(images.train, "train");
  const validation = images.validation && (await encode(images.validation, "validation"));
  const test = images.test && (await encode(images.test, "test"));
  const onPoint = ({ lambda, accuracy }: SweepPoint) =>
    io.progress(`λ ${lambda.toExponential(2)}: ${percentCell(accuracy)} of the validation images`);
  const probe = await trainProbe(train, classes, { lambda, validation, seed, around, onPoint, signal });
  const counts = { train: train.labels.length, validation: validation?.labels.length, test: test?.labels.length };
  const scores = test && (await scoreHead(probe.head, test));
  return { classes, features, probe, counts, scores, zeroShot: around && test && (await scoreHead(around, test)) };
}

type FittedProbe = Awaited<ReturnType<typeof fitHead>>;

/** The zero-shot classifier of the classes as a head. */
function labelHead(
  encoder: ClipEncoder,
  classes: readonly string[],
  templates: readonly string[] | undefined,
  io: CliIo,
): ReturnType<typeof zeroShotHead> {
  const labels = classes.map((name) => name.replaceAll("_", " "));
  const onEqualLabels = reportEqualLabels(io);
  return zeroShotHead(encoder, labels, { templates, signal: io.signal, onEqualLabels });
}

async function writeHead(file: string, { probe, classes, features }: FittedProbe): Promise<void> {
  const { weight, bias } = probe.head;
  const metadata = { classes: JSON.stringify(classes), features, lambda: String(probe.lambda) };
  await writeSafetensors(file, new Map(Object.entries({ weight, bias })), { metadata });
}

const widthOf = ({ head }: Probe) => head.weight.shape[1]!;

function resultsOf({ probe, classes, features, counts: images, scores: test, zeroShot }: FittedProbe): object {
  const { lambda, iterations, reason, objective, sweep } = probe;
  const fit = { lambda, iterations, reason, objective, sweep };
  return { features, width: widthOf(probe), classes, images, ...fit, test, zeroShot };
}

function describe({ probe, classes, counts, scores, zeroShot }: FittedProbe): string[] {
  const trained = `${counted(counts.train, "image")} of ${classes.length} classes, ${widthOf(probe)} features`;
  return [
    ...(probe.sweep.length > 0 ? [sweepTable(probe), ""] : []),
    `λ ${probe.lambda.toExponential(2)}, ${trained}, ${counted(probe.iterations, "step")}`,
    ...describeScores(classes, scores, zeroShot),
  ];
}

function sweepTable({ sweep, lambda }: Probe): string {
  const rows = sweep.map((point) => [
    point.lambda.toExponential(2),
    percentCell(point.accuracy),
    percentCell(point.meanPerClass),
    point.negativeLogLikelihood.toFixed(3),
    String(point.iterations),
    point.lambda === lambda ? "chosen" : "",
  ]);
  return table(["λ", "accuracy", "mean per class", "loss", "steps", ""], rows);
}

function describeScores(classes: readonly string[], scores?: HeadScores, zeroShot?: HeadScores): string[] {
  if (!scores) return [];
  const line = (name: string, { accuracy, meanPerClass }: HeadScores) =>
    `${name}  accuracy ${percentCell(accuracy)}, mean per class ${percentCell(meanPerClass)}`;
  const perClass = classes.flatMap((name, c) => {
    const share = scores.perClass[c]!;
    return Number.isNaN(share) ? [] : [[printable(name), percentCell(share)]];
  });
  return [
    ...(zeroShot ? [line("zero-shot", zeroShot)] : []),
    line("probe", scores),
    "",
    table(["class", "accuracy"], perClass),
  ];
}

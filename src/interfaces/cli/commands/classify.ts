import { Command, Option } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { type Agreement, measureQuantization } from "../../../model/embedding/quantization.ts";
import { checkLabels } from "../../../model/zero-shot/classifier.ts";
import { ClipModel } from "../../../model/zero-shot/clip.ts";
import { type ClassifiedImages, classifyImages } from "../classify-images.ts";
import { imageArguments, withFirstRead } from "../image-arguments.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  offlineOption,
  imageSizeOption,
  loraOption,
  configOption,
  dtypeOption,
  examples,
  maxImagePixelsOption,
  modelOption,
  readChosenModel,
  repeatedTemplate,
  wholeNumber,
} from "../options.ts";
import { counted } from "../../report/numbers.ts";
import { drawBars, drawHeatMap } from "../terminal.ts";
import { readLines } from "../text-files.ts";

/** What a person takes in at a glance. */
const shownInTerminal = 5;

/** Names what is in images. */
export const classifyCommand = (io: CliIo) =>
  new Command("classify")
    .summary("name what is in images, by any labels")
    .description(
      "Ranks labels by how well they fit each image: as bars, or, for several images, as a heat map of similarities. " +
        "An image named here that cannot be read makes the exit code 1; one found in a folder is left out and reported, as by embed and " +
        "eval, unless none of them can be read.",
    )
    .argument("<image...>", "images: paths or addresses; a folder for all images in it; - for the standard input")
    .addOption(new Option("--labels <a,b,c>", "the labels, with commas between").conflicts("labelsFile"))
    .option("--labels-file <file>", "a text file with one label a line")
    .option(
      "--template <sentence>",
      'what to put labels into, at {}; may be repeated, and is averaged (default: "{}", "a photo of a {}", …)',
      repeatedTemplate,
    )
    .option(
      "--top-k <n>",
      `how many labels to show (default: ${shownInTerminal} in the terminal, else all)`,
      wholeNumber(),
    )
    .addOption(modelOption())
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(loraOption)
    .addOption(imageSizeOption)
    .addOption(dtypeOption)
    .addOption(new Option("--none", 'may answer "none of these"').conflicts("multiLabel"))
    .option("--multi-label", "give each label its own probability, independent of the others")
    .option("--truncate", "cut labels that have more tokens than the model reads, and say what was cut")
    .option("--json", "print one JSON document")
    .option("--html <file>", "write a page with the images beside their labels")
    .addOption(maxImagePixelsOption)
    .addHelpText(
      "after",
      examples(
        'clip-ts classify cat.jpg --labels "a cat,a dog,a car"',
        'clip-ts classify *.png --labels-file labels.txt --template "an icon of a {}" --html page.html',
        'clip-ts classify cat.jpg --labels "a cat,a dog" --none --json',
      ),
    )
    .action(async (args, options) => {
      const { template: templates, topK, json, dtype, none, multiLabel, truncate, html, maxImagePixels } = options;
      const labels = await readLabels(options.labels, options.labelsFile, io);
      // Before a model is fetched: whether there are labels, and an image that can be read.
      checkLabels(labels, none === true);
      const images = await withFirstRead(await imageArguments(args, { maxImagePixels }, io), io);
      const request = { images, labels, templates, none, multiLabel, truncate, html };
      // For so little, arranging the weights would take longer than it saves.
      const prepack = images.length + labels.length > fewInputs;
      const model = await readChosenModel(options, io);
      await using clip = new ClipModel(model, { prepack, dtype });
      const answers = await classifyImages(clip, { ...request, topK: json ? topK : undefined }, io);
      const { results, failures } = answers;
      if (json) io.out(JSON.stringify({ results }, null, 2));
      else show(answers, topK ?? shownInTerminal, io);
      if (dtype) {
        const read = new Set(results.slice(0, probed).map(({ image }) => image));
        const inputs = { images: images.filter(({ name }) => read.has(name)), texts: labels.slice(0, probed) };
        const onTruncate = truncate ? () => {} : undefined; // said before
        const agreements = await measureQuantization(clip, model, inputs, {
          onTruncate,
          signal: io.signal,
        });
        for (const [what, agreement] of Object.entries(agreements)) io.err(describeAgreement(dtype, what, agreement));
      }
      const named = images.filter(({ folder }) => folder === undefined).length;
      if (failures > 0)
        throw new ClipError("CLIP_IMAGE", `${failures} of ${counted(named, "named image")} could not be read`);
    });

const fewInputs = 32;

/** So many images and labels tell how close weights of few bits come, in a fraction of the time that loading takes. */
const probed = 8;

function describeAgreement(dtype: string, what: string, { count, mean, least }: Agreement): string {
  const cosines = `${mean.toFixed(5)} on average, ${least.toFixed(5)} at least`;
  return `${dtype} against the weights as they are: cosine ${cosines}, of ${count} ${what}`;
}

async function readLabels(labels: string | undefined, file: string | undefined, io: CliIo): Promise<string[]> {
  if (labels !== undefined) return labels.split(",");
  if (file !== undefined) return readLines(file, io);
  throw new ClipError("CLIP_USAGE", 'there are no labels; name them: --labels "a cat,a dog" or --labels-file FILE');
}

/** One image as bars; several as a heat map of the labels that are among the best of any. */
function show({ results, labels: given }: ClassifiedImages, topK: number, io: CliIo): void {
  const paper = { columns: io.columns ?? 80, colour: io.colour };
  const [first, ...others] = results;
  if (!first) return;
  if (others.length === 0) {
    io.out([printable(first.image), ...drawBars(first.labels.slice(0, topK), paper)].join("\n"), true);
    return;
  }
  const best = new Set(results.flatMap(({ labels }) => labels.slice(0, topK).map(({ label }) => label)));
  const columns = given.filter((label) => best.has(label));
  const rows = results.map(({ image, labels }) => {
    const similarities = new Map(labels.map(({ label, similarity }) => [label, similarity]));
    return { name: image, similarities: columns.map((label) => similarities.get(label)!), best: labels[0]! };
  });
  io.out(drawHeatMap(rows, columns, paper).join("\n"), true);
}

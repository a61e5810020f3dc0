import { Command, Option } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { type Agreement, measureQuantization } from "../../../model/embedding/quantization.ts";
import { defaultModel } from "../../../model/hub/known-models.ts";
import type { StoredModel } from "../../../model/pretrained/model-folder.ts";
import { checkLabels } from "../../../model/zero-shot/classifier.ts";
import { ClipModel } from "../../../model/zero-shot/clip.ts";
import { counted } from "../../report/numbers.ts";
import { type ClassifiedImages, classifyImages, type ClassifyRequest } from "../classify-images.ts";
import { imageArguments, withFirstRead } from "../image-arguments.ts";
import type { CliIo } from "../io.ts";
import { addTemplateOptions, labelsFileOption, labelsOption, readTemplates } from "../label-options.ts";
import { addModelOptions, encoderOptions, readChosenModel } from "../model-options.ts";
import { examples, htmlOption, jsonOption, maxImagePixelsOption, topKOption, truncateOption } from "../options.ts";
import { printJson, showSkipped } from "../output.ts";
import { drawBars, drawHeatMap } from "../terminal.ts";
import { readLines } from "../text-files.ts";

const shownInTerminal = 5;
/** For fewer images and labels, prepacking the weights takes longer than it saves. */
const fewInputs = 32;
/** Images and labels that show the loss by quantization. */
const comparedInputs = 8;

export const classifyCommand = (io: CliIo) =>
  addModelOptions(
    addTemplateOptions(
      new Command("classify")
        .summary("classify images by any labels")
        .description(
          "Ranks labels for each image: as bars, or for several images as a heat map of similarities. With --dtype it also prints the " +
            "similarity of quantized and exact embeddings.\n\n" +
            "An image in a folder that cannot be read is skipped. An image given by itself that cannot be read is skipped too, and " +
            "makes the exit code 1.",
        )
        .argument("<image...>", "paths or addresses of images; a folder for all images in it; - for the standard input")
        .addOption(labelsOption)
        .addOption(labelsFileOption),
    )
      .addOption(topKOption(`${shownInTerminal}; with --json all`))
      .addOption(new Option("--none", 'add the answer "none of these"').conflicts("multiLabel"))
      .option("--multi-label", "give each label its own probability, independent of the others")
      .addOption(truncateOption),
  )
    .addOption(maxImagePixelsOption)
    .addOption(htmlOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        'clip-ts classify cat.jpg --labels "a cat,a dog,a car"',
        'clip-ts classify *.png --labels-file labels.txt --template "an icon of a {}" --html page.html',
        'clip-ts classify cat.jpg --labels "a cat,a dog" --none --json',
      ),
    )
    .action(async (args, options) => {
      const { topK, json, none, multiLabel, truncate, html, maxImagePixels } = options;
      const labels = await readLabels(options.labels, options.labelsFile, io);
      // Errors in labels and images are reported before a model is downloaded.
      checkLabels(labels, none === true);
      const templates = await readTemplates(options, io);
      const found = await imageArguments(args, { maxImagePixels }, io);
      showSkipped(found.skipped, io);
      const images = await withFirstRead(found.images, io);
      const prepack = images.length + labels.length > fewInputs;
      const model = await readChosenModel(options, io);
      await using clip = new ClipModel(model, { prepack, ...encoderOptions(options) });
      const request = { images, labels, templates, none, multiLabel, truncate, html };
      const classified = await classifyImages(clip, { ...request, topK: json ? topK : undefined }, io);
      const { results } = classified;
      const skipped = [...found.skipped, ...classified.skipped.map(({ image, reason }) => ({ image, reason }))];
      if (json) printJson({ model: options.model ?? defaultModel, data: args, results, skipped }, io);
      else show(classified, topK ?? shownInTerminal, io);
      if (options.dtype) await reportQuantization(clip, model, request, classified, io);
      const failures = classified.skipped.filter(({ inFolder }) => !inFolder).length;
      const named = images.filter(({ inFolder }) => !inFolder).length;
      if (failures > 0)
        throw new ClipError("CLIP_IMAGE", `${failures} of ${counted(named, "named image")} could not be read`);
    });

async function readLabels(labels: string | undefined, file: string | undefined, io: CliIo): Promise<string[]> {
  if (labels !== undefined) return labels.split(",");
  if (file !== undefined) return readLines(file, io);
  throw new ClipError("CLIP_USAGE", 'there are no labels; add --labels "a cat,a dog" or --labels-file FILE');
}

/** Prints how similar the embeddings of quantized and exact weights are. Releases the model. */
async function reportQuantization(
  clip: ClipModel,
  model: StoredModel,
  { images, labels, truncate }: ClassifyRequest,
  { results }: ClassifiedImages,
  io: CliIo,
): Promise<void> {
  const read = new Set(results.slice(0, comparedInputs).map(({ image }) => image));
  const inputs = { images: images.filter(({ name }) => read.has(name)), texts: labels.slice(0, comparedInputs) };
  const onTruncate = truncate ? () => {} : undefined; // reported already
  const agreements = await measureQuantization(clip, model, inputs, { onTruncate, signal: io.signal });
  const describe = ([inputs, { count, mean, least }]: [string, Agreement]) =>
    `quantized and exact embeddings of ${count} ${inputs}: cosine ${mean.toFixed(5)} on average, at least ${least.toFixed(5)}`;
  for (const agreement of Object.entries(agreements)) io.err(describe(agreement));
}

/** Prints one image as bars, several as a heat map of the labels that are among the best of any image. */
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

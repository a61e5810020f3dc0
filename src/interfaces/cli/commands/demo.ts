import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "@commander-js/extra-typings";
import { packageFile } from "../../../core/package-files.ts";
import { printable } from "../../../core/printable.ts";
import { pictograms } from "../../../model/hub/known-models.ts";
import type { StoredModel } from "../../../model/pretrained/model-folder.ts";
import { ClipModel } from "../../../model/zero-shot/clip.ts";
import { classifyImages } from "../classify-images.ts";
import type { CliIo } from "../io.ts";
import { readChosenModel } from "../model-options.ts";
import { htmlOption, jsonOption } from "../options.ts";
import { printJson } from "../output.ts";
import { drawBars } from "../terminal.ts";

const shownInTerminal = 3;

const samples = fileURLToPath(packageFile("assets/samples"));

/** It has no model options: its images are drawings, for the bundled model. */
export const demoCommand = (io: CliIo) =>
  new Command("demo")
    .summary("classify sample images with the bundled model")
    .description("Classifies the package's sample images, by an artist whose drawings the model was not trained on.")
    .addOption(htmlOption)
    .addOption(jsonOption)
    .action(async (options) => demonstrate(await readChosenModel({}, io, pictograms), samples, options, io));

/** Classifies the images of a folder by the labels in its `labels.txt`. */
export async function demonstrate(
  model: StoredModel,
  folder: string,
  { html, json }: { readonly html?: string | undefined; readonly json?: boolean | undefined },
  io: CliIo,
): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name !== "labels.txt").sort();
  const labels = (await readFile(join(folder, "labels.txt"), "utf8")).split(/\r?\n/).filter((label) => label !== "");
  await using clip = new ClipModel(model);
  const images = names.map((name) => {
    const path = join(folder, name);
    return { name: path, load: () => path, decoding: {} };
  });
  const { results } = await classifyImages(clip, { images, labels, html }, io);
  if (json) return printJson({ model: pictograms, data: folder, results }, io);
  io.out(`The best of ${labels.length} labels for each sample image, which the model was not trained on:`);
  const paper = { columns: io.columns ?? 80, colour: io.colour };
  for (const { image, labels } of results)
    io.out(["", printable(basename(image)), ...drawBars(labels.slice(0, shownInTerminal), paper)].join("\n"), true);
  const hints = [
    ...(html === undefined ? ["To see the images: clip-ts demo --html demo.html"] : []),
    'Now your photos: clip-ts classify PHOTO --labels "a cat,a dog,a house" (downloads a model for photos once, 605 MB)',
  ];
  io.out(["", ...hints].join("\n"));
}

import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "@commander-js/extra-typings";
import { packageFile } from "../../../core/package-files.ts";
import { printable } from "../../../core/printable.ts";
import { readModel, type StoredModel } from "../../../model/pretrained/model-folder.ts";
import { pictograms } from "../../../model/hub/known-models.ts";
import { ClipModel } from "../../../model/zero-shot/clip.ts";
import { classifyImages } from "../classify-images.ts";
import type { CliIo } from "../io.ts";
import { locateModel } from "../options.ts";
import { drawBars } from "../terminal.ts";

/** Labels of each image; the page has more of them. */
const shownInTerminal = 3;

const samples = fileURLToPath(packageFile("assets/samples"));

/** Shows the model that comes with the package at work. */
export const demoCommand = (io: CliIo) =>
  new Command("demo")
    .summary("classify the sample images with the model that comes with the package")
    .description("Names what is in the sample images of the package, drawn by an artist the model has never seen.")
    .option("--html <file>", "where to write the page (default: among the temporary files)")
    .action(async ({ html = join(tmpdir(), "clip-ts-demo.html") }) =>
      demonstrate(await readModel(await locateModel(pictograms, io, {})), samples, html, io),
    );

/** Classifies the images of a folder by the labels in its `labels.txt`. */
export async function demonstrate(model: StoredModel, folder: string, html: string, io: CliIo): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name !== "labels.txt").sort();
  const labels = (await readFile(join(folder, "labels.txt"), "utf8")).split(/\r?\n/).filter((label) => label !== "");
  await using clip = new ClipModel(model);
  const images = names.map((name) => {
    const path = join(folder, name);
    return { name: path, load: () => path, decoding: {} };
  });
  io.out(`Which of ${labels.length} labels fits each image? The model was never told what these images show.`);
  const { results } = await classifyImages(clip, { images, labels, html }, io);
  const paper = { columns: io.columns ?? 80, colour: io.colour };
  for (const { image, labels } of results)
    io.out(["", printable(basename(image)), ...drawBars(labels.slice(0, shownInTerminal), paper)].join("\n"), true);
  io.out(`\nThe same with images: ${html}`);
  io.out(
    'Now your photos: clip-ts classify PHOTO --labels "a cat,a dog,a house" (fetches a model for photos once, 605 MB)',
  );
}

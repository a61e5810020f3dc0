import { Command } from "@commander-js/extra-typings";
import { printable } from "../../../core/printable.ts";
import { evaluateGeolocation, readPlacedImages } from "../../../learning/evaluate/geolocation.ts";
import { measureModels, modelsOption, showSkipped, withBroken } from "../eval-options.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  configOption,
  examples,
  imageSizeOption,
  imagesOption,
  loraOption,
  maxImagePixelsOption,
  offlineOption,
} from "../options.ts";
import { percent, table } from "../terminal.ts";

/** Guesses where images were taken. */
export const evalGeolocationCommand = (io: CliIo) =>
  new Command("geolocation")
    .summary("how near an image's most similar image was taken")
    .description(
      "Guesses for each image the place of its nearest neighbour among images of known place, and prints the share within " +
        "1, 25, 200, 750 and 2,500 km. Both tables are .csv, .tsv or .jsonl with the columns image (or path, filepath; relative " +
        "to the file), " +
        "latitude and longitude in degrees.",
    )
    .requiredOption("--data <file>", "the images to place")
    .requiredOption("--references <file>", "the images of known place")
    .addOption(imagesOption)
    .addOption(modelsOption())
    .option("--json", "print one JSON document")
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(loraOption)
    .addOption(imageSizeOption)
    .addOption(maxImagePixelsOption)
    .addHelpText(
      "after",
      examples("clip-ts eval geolocation --data im2gps.csv --references photos.csv --model ViT-B/32"),
    )
    .action(async ({ data, references, images, json, ...options }) => {
      const asked = await readPlacedImages(data, images);
      const known = await readPlacedImages(references, images);
      const skipped = [...asked.skipped, ...known.skipped];
      showSkipped(skipped, io);
      const { maxImagePixels } = options;
      const measured = await measureModels(options, io, (clip) =>
        evaluateGeolocation(clip, asked.images, known.images, { maxImagePixels, signal: io.signal }),
      );
      const leftOut = withBroken(skipped, measured, io);
      if (json) {
        const models = measured.map(({ model, scores }) => ({ model, ...scores }));
        io.out(JSON.stringify({ data, references, skipped: leftOut, models }, null, 2));
        return;
      }
      const distances = measured[0]!.scores.within.map(({ kilometres }) => `${kilometres} km`);
      const rows = measured.map(({ model, scores }) => [
        ...[printable(model), String(scores.count), String(scores.references)],
        ...scores.within.map(({ share }) => percent(share)),
      ]);
      io.out(table(["model", "images", "references", ...distances], rows));
    });

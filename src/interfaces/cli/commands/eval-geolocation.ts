import { Command } from "@commander-js/extra-typings";
import {
  evaluateGeolocation,
  type GeolocationScores,
  placeDistances,
  readPlacedImages,
} from "../../../learning/evaluate/geolocation.ts";
import { addEvaluationOptions, evaluate } from "../evaluation.ts";
import type { CliIo } from "../io.ts";
import { examples, imagesOption } from "../options.ts";
import { percentCell } from "../terminal.ts";

export const evalGeolocationCommand = (io: CliIo) =>
  addEvaluationOptions(
    new Command("geolocation")
      .summary("guess where images were taken")
      .description(
        "Guesses the location of each image as that of the most similar reference image, and prints the shares of guesses " +
          "within 1, 25, 200, 750 and 2,500 km. Both tables are .csv, .tsv or .jsonl with the columns image (or path, filepath), " +
          "latitude and longitude in degrees.",
      )
      .argument("<data>", "the table of images to locate")
      .requiredOption("--references <file>", "the table of reference images with known locations")
      .addOption(imagesOption),
  )
    .addHelpText("after", examples("clip-ts eval geolocation im2gps.csv --references photos.csv --model ViT-B/32"))
    .action(async (data, { references, images, maxImagePixels, ...options }) => {
      const located = await readPlacedImages(data, images);
      const known = await readPlacedImages(references, images);
      const reading = { maxImagePixels, signal: io.signal };
      await evaluate(
        options,
        {
          ...{ data, skipped: [...located.skipped, ...known.skipped] },
          measure: (clip) => evaluateGeolocation(clip, located.images, known.images, reading),
          columns: [
            ["images", ({ count }) => String(count)],
            ["references", (scores) => String(scores.references)],
            ...placeDistances.map((km, i) => [`${km} km`, shareWithin(i)] as const),
          ],
        },
        io,
      );
    });

const shareWithin = (i: number) => (scores: GeolocationScores) => percentCell(scores.within[i]!.share);

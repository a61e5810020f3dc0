import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  configOption,
  examples,
  imageSizeOption,
  imagesOption,
  loraOption,
  maxImagePixelsOption,
  modelOption,
  offlineOption,
  repeatedTemplate,
  wholeNumber,
} from "../options.ts";

/** Trains a linear layer on a model's features. */
export const probeCommand = (io: CliIo) =>
  new Command("probe")
    .summary("train a linear layer on a model's features, and say how good they are")
    .description(
      "The paper's linear probe: logistic regression on the vectors that the image tower makes of labelled images, fitted by " +
        "L-BFGS. The strength λ of its penalty is searched over 97 values from 1e-6 to 1e6 on images held out, and the head " +
        "fitted again to all. The model itself stays as it is.\n\n" +
        "Images come from a folder with a folder for each class, or from a .csv, .tsv or .jsonl with the columns image " +
        "(or path, filepath) and label.",
    )
    .requiredOption("--train <source>", "the images to learn from")
    .option("--test <source>", "images to say the accuracy on")
    .option("--validation <source>", "what λ is chosen by (default: a fifth of each class of the training images)")
    .option("--shots <n>", "learn from so many images of each class, drawn by --seed", wholeNumber())
    .addOption(
      new Option(
        "--features <which>",
        "the vector before the projection, as in the paper, or the unit vector behind it (default: before; with --init zero-shot: after)",
      ).choices(["before", "after"] as const),
    )
    .addOption(
      new Option(
        "--init <how>",
        "what the penalty draws to: nothing, or the head that classifies zero-shot by the classes' names",
      )
        .choices(["zeros", "zero-shot"] as const)
        .default("zeros" as const),
    )
    .option(
      "--template <sentence>",
      "what to put names into, at {}, for --init zero-shot; may be repeated",
      repeatedTemplate,
    )
    .option("--lambda <value>", "the penalty's strength, in place of the search; 1/λ is scikit-learn's C", positive)
    .option("--seed <n>", "draws the shots, and what is held out", wholeNumber(), 1)
    .option("--out <file>", "write the head, weight and bias, as safetensors")
    .addOption(imagesOption)
    .addOption(modelOption())
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(loraOption)
    .addOption(imageSizeOption)
    .addOption(maxImagePixelsOption)
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      examples(
        "clip-ts probe --train pets/train --test pets/test --out pets.safetensors",
        "clip-ts probe --model ViT-B/32 --train pets.csv --test pets/test --shots 16",
        'clip-ts probe --train pets/train --test pets/test --shots 4 --init zero-shot --template "a photo of a {}"',
      ),
    )
    .action(async (options) => {
      // Loaded when it is needed: the other commands start sooner.
      const { runProbe } = await import("../probe-run.ts");
      await runProbe(options, io);
    });

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}

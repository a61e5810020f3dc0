import { Command, Option } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  configOption,
  dtypeOption,
  examples,
  imageColumnOption,
  imageSizeOption,
  imagesOption,
  loraOption,
  maxImagePixelsOption,
  modelOption,
  offlineOption,
  wholeNumber,
} from "../options.ts";

/** Writes the vectors of many images or texts into files. */
export const embedCommand = (io: CliIo) =>
  new Command("embed")
    .summary("write the unit vectors of many images or texts into files")
    .description(
      "Encodes the images of a folder, of shards or of a table, or the lines of a text file, and writes unit vectors and " +
        "names in shards. A shard is there whole or not at all: called again, the command goes on with those that are missing. " +
        "Under mpirun or srun the processes share the shards.",
    )
    .argument("<source>", "a folder of images, shards (.tar, .tar.gz), a table with a column of images; or a text file")
    .requiredOption("--out <folder>", "where the files are written")
    .option("--texts", "the source is a text file, - for the standard input: embed its lines; blank ones are left out")
    .addOption(
      new Option("--format <name>", "columns id and embedding, or an array and beside it the names")
        .choices(["parquet", "npy"] as const)
        .default("parquet" as const),
    )
    .option("--shard-size <n>", "images or texts in a shard", wholeNumber(1_000_000), 10_000)
    .addOption(modelOption())
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(loraOption)
    .addOption(imageSizeOption)
    .addOption(dtypeOption)
    .addOption(imageColumnOption)
    .addOption(imagesOption)
    .addOption(maxImagePixelsOption)
    .option("--json", "print what was written as one JSON document")
    .addHelpText(
      "after",
      examples(
        "clip-ts embed photos --out vectors",
        'clip-ts embed "shards/web-{0000..0099}.tar" --out vectors --model ViT-B/32 --format npy',
        "clip-ts embed labels.txt --texts --out label-vectors",
        "mpirun -n 4 clip-ts embed photos --out vectors --shard-size 1000",
      ),
    )
    .action(async (source, options) => {
      // Loaded when it is needed: the other commands start sooner.
      const { runEmbedding } = await import("../embed-run.ts");
      await runEmbedding({ ...options, source }, io);
    });

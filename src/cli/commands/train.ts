import { basename, extname, join } from "node:path";
import { Command } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import { examples } from "../options.ts";

/** Pre-trains a CLIP on pairs of pictures and captions. */
export const trainCommand = (io: CliIo) =>
  new Command("train")
    .summary("pre-train a CLIP on your pictures and captions")
    .description(
      "Trains what the configuration says. The folder gets metrics.jsonl and checkpoints while it runs, and in the end " +
        "the model and a page with curves and sample predictions. A doctor watches, and says in plain words what seems to be " +
        "wrong and what to try. Stop it with Ctrl-C and go on with --resume. Started by mpirun or srun, several processes share each batch " +
        "and train one model.",
    )
    .requiredOption("--config <file>", "the run's JSON file: model, data, schedule")
    .option("--out <folder>", "where the run writes (default: runs/ and the configuration's name)")
    .option("--resume", "go on from the folder's last checkpoint; the curve is the same to the bit")
    .option("--tensorboard", "also write the curves as TensorBoard reads them, into the folder's tensorboard/")
    .option("--json", "print the result as one JSON document")
    .addHelpText(
      "after",
      examples(
        "clip-ts train --config pets.json",
        "clip-ts train --config pets.json --out runs/pets --resume",
        "mpirun -n 4 clip-ts train --config pets.json",
      ),
    )
    .action(async ({ config, out = join("runs", basename(config, extname(config))), ...flags }) => {
      // Loaded when it is needed: the other commands start sooner.
      const { runTraining } = await import("../train-run.ts");
      const { resume = false, tensorboard = false, json = false } = flags;
      await runTraining({ file: config, out, resume, tensorboard, json }, io);
    });

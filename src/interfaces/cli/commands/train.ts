import { basename, extname, join } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import { examples, lineToResume, wholeNumber } from "../options.ts";

const watchOption = new Option(
  "--watch [port]",
  "show the run live on a page of this machine, at an address that is printed; the page stays as it is when the run ends, " +
    "and the process ends as without it (default port: one that is free)",
).argParser(wholeNumber(65_535));

/** Pre-trains a CLIP on pairs of images and captions. */
export const trainCommand = (io: CliIo) =>
  new Command("train")
    .summary("pre-train a CLIP on your images and captions")
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
    .addOption(watchOption)
    .option(
      "--overfit",
      "train nothing yet: see whether the model can learn 32 of the pairs by heart, and say what to try if not",
    )
    .option("--json", "print the result as one JSON document")
    .addHelpText(
      "after",
      examples(
        "clip-ts train --config pets.json",
        "clip-ts train --config pets.json --out runs/pets --resume",
        "clip-ts train --config pets.json --watch",
        "clip-ts train --config pets.json --overfit",
        "mpirun -n 4 clip-ts train --config pets.json",
      ),
    )
    .action(async ({ config, out = join("runs", basename(config, extname(config))), ...flags }, command) => {
      // Loaded when it is needed: the other commands start sooner.
      const { runOverfit, runTraining } = await import("../train-run.ts");
      const { resume = false, tensorboard = false, json = false, overfit } = flags;
      if (overfit) return runOverfit(config, { json }, io);
      const watch = flags.watch === true ? 0 : flags.watch;
      const again = lineToResume(command);
      await runTraining({ file: config, out, resume, tensorboard, watch, json, again }, io);
    });

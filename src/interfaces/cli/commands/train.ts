import { basename, extname, join } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import { offlineOption } from "../model-options.ts";
import { examples, jsonOption, lineToResume, outOption, resumeOption, parseWholeNumber } from "../options.ts";
import { runOverfit, runTraining } from "../train-run.ts";

const watchOption = new Option(
  "--watch [port]",
  "serve a page with live curves to this machine, and print its address (default port: a free one)",
).argParser(parseWholeNumber(65_535));

/** The run's configuration chooses the model; `--offline` is for its `init`. */
export const trainCommand = (io: CliIo) =>
  new Command("train")
    .summary("train a CLIP on your images and captions")
    .description(
      "Trains a model as the configuration says. The folder gets metrics.jsonl and checkpoints during the run, and at its end the " +
        "model and a page with curves and sample predictions. The doctor prints problems that it detects, with advice. Stop the " +
        "run with Ctrl-C and continue it with --resume. Processes started together by mpirun or srun share each batch and train " +
        "one model.",
    )
    .argument("<config>", "the run's JSON file: model, data, schedule")
    .addOption(outOption("runs/ and the configuration's name"))
    .addOption(resumeOption)
    .option("--tensorboard", "also write the curves for TensorBoard, into the folder's tensorboard/")
    .addOption(watchOption)
    .option("--overfit", "do not train; test whether the model can memorize 32 pairs, and print advice if not")
    .addOption(offlineOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts train pets.json",
        "clip-ts train pets.json --out runs/pets --resume",
        "clip-ts train pets.json --watch",
        "clip-ts train pets.json --overfit",
        "mpirun -n 4 clip-ts train pets.json",
      ),
    )
    .action(
      async (file, { out = join("runs", basename(file, extname(file))), overfit, watch, ...options }, command) => {
        if (overfit) return runOverfit(file, options, io);
        const port = watch === true ? 0 : watch;
        await runTraining({ ...options, file, out, port, resumeLine: lineToResume(command) }, io);
      },
    );

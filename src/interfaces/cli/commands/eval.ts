import { Command } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import { evalClipScoreCommand } from "./eval-clipscore.ts";
import { evalGeolocationCommand } from "./eval-geolocation.ts";
import { evalRetrievalCommand } from "./eval-retrieval.ts";
import { evalZeroShotCommand } from "./eval-zeroshot.ts";

export const evalCommand = (io: CliIo) =>
  new Command("eval")
    .summary("evaluate models as the CLIP paper does")
    .description("Evaluates models on labelled or captioned images; several models in one table.")
    .addCommand(evalZeroShotCommand(io))
    .addCommand(evalRetrievalCommand(io))
    .addCommand(evalClipScoreCommand(io))
    .addCommand(evalGeolocationCommand(io))
    .addHelpText("after", "\nThe paper's linear probe is a command of its own: clip-ts probe --help");

import { Command } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import { evalClipScoreCommand } from "./eval-clipscore.ts";
import { evalGeolocationCommand } from "./eval-geolocation.ts";
import { evalRetrievalCommand } from "./eval-retrieval.ts";
import { evalZeroShotCommand } from "./eval-zeroshot.ts";
import { probeCommand } from "./probe.ts";

/** Measures how good models are. */
export const evalCommand = (io: CliIo) =>
  new Command("eval")
    .summary("measure how good models are, as the CLIP paper does")
    .description("Measures models on images of which the truth is known; several in one table.")
    .addCommand(evalZeroShotCommand(io))
    .addCommand(evalRetrievalCommand(io))
    // The same command as clip-ts probe: whoever looks for the paper's evaluations finds all of them here.
    .addCommand(probeCommand(io))
    .addCommand(evalClipScoreCommand(io))
    .addCommand(evalGeolocationCommand(io));

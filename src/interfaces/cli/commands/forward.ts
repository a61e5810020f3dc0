import { Command } from "@commander-js/extra-typings";
import { openSafetensors } from "../../../model/checkpoints/safetensors.ts";
import { readFloats, readIntegers } from "../../../model/checkpoints/stored-tensor.ts";
import { writeSafetensors } from "../../../model/checkpoints/write-safetensors.ts";
import { ClipError } from "../../../core/errors.ts";
import { forward } from "../../../model/embedding/forward.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  offlineOption,
  configOption,
  examples,
  imageSizeOption,
  modelOption,
  readChosenModel,
} from "../options.ts";

/** Runs the bare towers on tensors from a file, to compare with any other implementation. */
export const forwardCommand = (io: CliIo) =>
  new Command("forward")
    .summary("run the towers on tensors from a file")
    .description(
      "Reads pixelValues (float32 [n, 3, S, S]) and/or inputIds (int64 or int32 [n, L]) from a safetensors file, and " +
        "writes what follows from them: imageFeatures, imageEmbeds, textFeatures, textEmbeds, logitScale, " +
        "logitsPerImage, logitsPerText, and logitBias where the model has one.",
    )
    .addOption(modelOption())
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(imageSizeOption)
    .requiredOption("--in <file>", "safetensors file with the inputs")
    .requiredOption("--out <file>", "safetensors file to write")
    .addHelpText(
      "after",
      examples(
        "clip-ts forward --model openai.safetensors --activation quickGelu --in inputs.safetensors --out ours.safetensors",
      ),
    )
    .action(async ({ in: source, out, ...options }) => {
      const { tensors } = await openSafetensors(source);
      const [pixelValues, inputIds] = [tensors.get("pixelValues"), tensors.get("inputIds")];
      if (!pixelValues && !inputIds) {
        const met = [...tensors.keys()].slice(0, 5).join(", ") || "nothing";
        throw new ClipError("CLIP_DATA", `${source} holds neither pixelValues nor inputIds, but ${met}`);
      }
      const outputs = await forward(await readChosenModel(options, io), {
        pixelValues: pixelValues && (await readFloats(pixelValues)),
        inputIds: inputIds && (await readIntegers(inputIds)),
      });
      await writeSafetensors(out, outputs);
      const written = [...outputs].map(([name, { shape }]) => `${name} [${shape.join(", ")}]`);
      io.err(`wrote ${out}: ${written.join(", ")}`);
    });

import { Command } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { openSafetensors } from "../../../model/checkpoints/safetensors.ts";
import { readFloats, readIntegers } from "../../../model/checkpoints/stored-tensor.ts";
import { forward } from "../../../model/embedding/forward.ts";
import { defaultModel } from "../../../model/hub/known-models.ts";
import type { CliIo } from "../io.ts";
import { addModelOptions, encoderOptions, readChosenModel } from "../model-options.ts";
import { examples, jsonOption } from "../options.ts";
import { writeTensors } from "../tensors.ts";

export const forwardCommand = (io: CliIo) =>
  addModelOptions(
    new Command("forward")
      .summary("run the towers on tensors from a file")
      .description(
        "Reads pixelValues (float32 [I, 3, S, S]), inputIds (int64 or int32 [T, L]) or both from a safetensors file, and writes " +
          "the outputs to another: imageFeatures, imageEmbeds, textFeatures, textEmbeds, logitScale, logitsPerImage, " +
          "logitsPerText, and logitBias if the model has one. For comparisons with other implementations.",
      )
      .argument("<in>", "the safetensors file with the inputs")
      .argument("<out>", "the safetensors file to write"),
  )
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts forward inputs.safetensors outputs.safetensors --model openai.safetensors --activation quickGelu",
      ),
    )
    .action(async (source, out, { json, ...options }) => {
      const { tensors } = await openSafetensors(source);
      const [pixelValues, inputIds] = [tensors.get("pixelValues"), tensors.get("inputIds")];
      if (!pixelValues && !inputIds) {
        const found = [...tensors.keys()].slice(0, 5).join(", ") || "no tensors";
        throw new ClipError("CLIP_DATA", `${source} has neither pixelValues nor inputIds; it has ${found}`);
      }
      const inputs = {
        pixelValues: pixelValues && (await readFloats(pixelValues)),
        inputIds: inputIds && (await readIntegers(inputIds)),
      };
      const outputs = await forward(await readChosenModel(options, io), inputs, encoderOptions(options));
      await writeTensors(out, outputs, json && { model: options.model ?? defaultModel, data: source }, io);
    });

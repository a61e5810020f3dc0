import { Command, Option } from "@commander-js/extra-typings";
import type { TensorData } from "../../../core/tensor-data.ts";
import { decodeImage } from "../../../inputs/image/decode.ts";
import { clipPreprocess } from "../../../inputs/image/preprocess-config.ts";
import { preprocessImage } from "../../../inputs/image/preprocess.ts";
import type { CliIo } from "../io.ts";
import { addModelFilesOptions, hasModel, imageSizeOption, readChosenModel } from "../model-options.ts";
import { examples, jsonOption, maxImagePixelsOption } from "../options.ts";
import { writeTensors } from "../tensors.ts";

/** It has no `--lora`, `--dtype` and `--device`: it reads a model's preprocessing and runs nothing. */
export const preprocessCommand = (io: CliIo) =>
  addModelFilesOptions("CLIP's published constants, 224 pixels")(
    new Command("preprocess")
      .summary("convert an image to pixel values")
      .description(
        "Resizes, crops and standardizes an image, and writes a safetensors file with pixels (uint8 [S, S, 3]) and pixelValues " +
          "(float32 [3, S, S]), the input of the image tower.",
      )
      .argument("<image>", "the image")
      .argument("<out>", "the safetensors file to write")
      .addOption(
        new Option(
          "--orientation <mode>",
          "apply the EXIF orientation, or ignore it as the reference implementations do",
        )
          .choices(["apply", "ignore"] as const)
          .default("apply" as const),
      ),
  )
    .addOption(imageSizeOption)
    .addOption(maxImagePixelsOption)
    .addOption(jsonOption)
    .addHelpText("after", examples("clip-ts preprocess cat.jpg cat.safetensors --orientation ignore"))
    .action(async (image, out, { orientation, maxImagePixels, json, ...options }) => {
      const constants = hasModel(options) ? (await readChosenModel(options, io)).preprocess : clipPreprocess;
      const { imageSize = constants.imageSize } = options;
      const decoded = await decodeImage(image, { orientation, maxImagePixels });
      const { pixels, pixelValues } = preprocessImage(decoded, { ...constants, imageSize });
      const tensors = new Map<string, TensorData>([
        ["pixels", { dtype: "uint8", shape: [imageSize, imageSize, 3], data: pixels }],
        ["pixelValues", { dtype: "float32", shape: [3, imageSize, imageSize], data: pixelValues }],
      ]);
      await writeTensors(out, tensors, json && { model: options.model, data: image }, io);
    });

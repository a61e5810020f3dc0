import { Command } from "@commander-js/extra-typings";
import { writeSafetensors } from "../../../model/checkpoints/write-safetensors.ts";
import type { TensorData } from "../../../core/tensor-data.ts";
import { clipPreprocess } from "../../../inputs/image/preprocess-config.ts";
import { decodeImage } from "../../../inputs/image/decode.ts";
import { preprocessImage } from "../../../inputs/image/preprocess.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  offlineOption,
  configOption,
  examples,
  maxImagePixelsOption,
  modelOption,
  orientationOption,
  readNamedModel,
  wholeNumber,
} from "../options.ts";

/** As large as a config may say; the tensors take 1 GB then. */
const maxSize = 8_192;

/** Turns an image into what the image tower reads. */
export const preprocessCommand = (io: CliIo) =>
  new Command("preprocess")
    .summary("turn an image into what the image tower reads")
    .description(
      "Writes the image resized, cropped and standardised to a safetensors file: pixels (uint8 [S, S, 3]) and " +
        "pixelValues (float32 [3, S, S]).",
    )
    .argument("<image>", "the image")
    .requiredOption("--out <file>", "safetensors file to write")
    .option("--size <n>", "side of the square in pixels (default: the model's, or 224)", wholeNumber(maxSize))
    .addOption(orientationOption)
    .addOption(modelOption("the published CLIP constants"))
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(maxImagePixelsOption)
    .addHelpText("after", examples("clip-ts preprocess cat.jpg --out cat.safetensors --orientation ignore"))
    .action(async (image, { out, size, orientation, maxImagePixels, ...options }) => {
      const constants = (await readNamedModel(options, io))?.preprocess ?? clipPreprocess;
      const imageSize = size ?? constants.imageSize;
      const decoded = await decodeImage(image, { orientation, maxImagePixels });
      const { pixels, pixelValues } = preprocessImage(decoded, { ...constants, imageSize });
      const tensors = new Map<string, TensorData>([
        ["pixels", { dtype: "uint8", shape: [imageSize, imageSize, 3], data: pixels }],
        ["pixelValues", { dtype: "float32", shape: [3, imageSize, imageSize], data: pixelValues }],
      ]);
      await writeSafetensors(out, tensors);
      io.err(`wrote ${out}: pixels [${imageSize}, ${imageSize}, 3], pixelValues [3, ${imageSize}, ${imageSize}]`);
    });

import { ClipError } from "../../core/errors.ts";
import { float32 } from "../../core/tensor-data.ts";
import { resampleGrid } from "../../inputs/image/resample.ts";
import type { ClipConfig } from "../towers/config.ts";
import { readParameter, type StoredParameters } from "./load.ts";

const positions = "vision.positionalEmbedding";

/**
 * Adapts a model to another image size than it was trained with. Its positional embedding is resized like an image, by
 * antialiased bicubic interpolation, as in open_clip's `resize_pos_embed`.
 *
 * @throws {ClipError} `CLIP_CONFIG` if the image tower is not a patch ViT, or does not divide the size into patches.
 */
export async function withImageSize(
  config: ClipConfig,
  parameters: StoredParameters,
  imageSize: number,
): Promise<{ config: ClipConfig; parameters: StoredParameters }> {
  const { vision } = config;
  if (imageSize === vision.imageSize) return { config, parameters };
  if (vision.kind !== "vit" || vision.pool === "places" || vision.stem === "convolutions") {
    const only = "only ViTs that read their features from one token support other sizes";
    throw new ClipError("CLIP_CONFIG", `this model needs images of ${vision.imageSize} pixels; ${only}`);
  }
  const grid = (size: number) => Math.floor(size / vision.patchSize);
  if (grid(imageSize) < 1 || (vision.pool !== "probe" && imageSize % vision.patchSize !== 0)) {
    const size = `image size ${imageSize} does not fit this model`;
    throw new ClipError("CLIP_CONFIG", `${size}; choose a multiple of its patch size, ${vision.patchSize} pixels`);
  }
  const table = await readParameter(parameters.get(positions)!);
  const width = vision.width;
  // The class token's row is kept.
  const leading = vision.pool === "probe" ? 0 : width;
  const resized = resampleGrid(table.data.subarray(leading), width, grid(vision.imageSize), grid(imageSize), "bicubic");
  const values = new Float32Array(leading + resized.length);
  values.set(table.data.subarray(0, leading));
  values.set(resized, leading);
  return {
    config: { ...config, vision: { ...vision, imageSize } },
    parameters: new Map([...parameters, [positions, float32(values, [values.length / width, width])]]),
  };
}

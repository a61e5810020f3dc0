import { ClipError } from "../../core/errors.ts";
import { float32 } from "../../core/tensor-data.ts";
import { resampleGrid } from "../../inputs/image/resample.ts";
import type { ClipConfig } from "../towers/config.ts";
import { readParameter, type StoredParameters } from "./load.ts";

const positions = "vision.positionalEmbedding";

/**
 * The model for images of another size than it was trained with: its table of positions is resized like an image, by
 * antialiased bicubic interpolation, as open_clip's `resize_pos_embed` does.
 *
 * @throws {ClipError} `CLIP_CONFIG` if the image tower is no ViT of patches, or the size is smaller than one patch.
 */
export async function withImageSize(
  config: ClipConfig,
  parameters: StoredParameters,
  imageSize: number,
): Promise<{ config: ClipConfig; parameters: StoredParameters }> {
  const { vision } = config;
  if (imageSize === vision.imageSize) return { config, parameters };
  if (vision.kind !== "vit" || vision.pool === "places" || vision.stem === "convolutions") {
    const only = "only ViTs whose features are read from one token can be used at another";
    throw new ClipError("CLIP_CONFIG", `this model reads images of ${vision.imageSize} pixels; ${only}`);
  }
  const grid = (size: number) => Math.floor(size / vision.patchSize);
  if (grid(imageSize) < 1 || (vision.pool !== "probe" && imageSize % vision.patchSize !== 0)) {
    const sizes = `a multiple of its patches' ${vision.patchSize} pixels`;
    throw new ClipError("CLIP_CONFIG", `this model can read images of ${sizes}, not of ${imageSize}`);
  }
  const table = await readParameter(parameters.get(positions)!);
  const width = vision.width;
  // The class token's place stays.
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

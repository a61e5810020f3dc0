import type { ClipConfig, VitConfig } from "../towers/config.ts";

/**
 * What a batch of images may take beside the weights. A fraction of what the weights of those models take that need so much, and a
 * constant, so that the same model makes the same batches everywhere.
 */
const budgetBytes = 2 ** 28;

/** Beyond this an image is encoded no sooner. */
const largestBatch = 16;

/** How many images are encoded at once unless one says so: 16, or as many as fit into 256 MiB, and at least one. */
export function imageBatchSize({ vision }: Pick<ClipConfig, "vision">): number {
  return Math.min(largestBatch, Math.max(1, Math.floor(budgetBytes / imageBytes(vision))));
}

/**
 * The most that one image of a batch holds at a time, in bytes: its pixels, in the batch at work and twice in the next while that is
 * put together, and the numbers of the layer that has most of them.
 */
export function imageBytes(vision: ClipConfig["vision"]): number {
  const pixels = 3 * vision.imageSize ** 2;
  // The first stage of a ResNet: shortcut, inside and sum, each of 4 · width channels at a quarter of the image's side.
  const inside = vision.kind === "vit" ? vitNumbers(vision) : (3 * 4 * vision.width * vision.imageSize ** 2) / 16;
  return 4 * (3 * pixels + inside);
}

/** Of a block: its input with queries, keys and values twice and the scores twice; or with the MLP's hidden layer twice. */
function vitNumbers({ imageSize, patchSize, width, heads, mlpWidth = 4 * width }: VitConfig): number {
  const tokens = Math.floor(imageSize / patchSize) ** 2 + 1;
  return tokens * Math.max(7 * width + 2 * heads * tokens, width + 2 * mlpWidth);
}

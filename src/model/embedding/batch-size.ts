import type { ClipConfig, VitConfig } from "../towers/config.ts";

/** Memory budget of a batch of images. A constant, so that a model has the same batches on every machine. */
const budgetBytes = 2 ** 28;

/** Larger batches are not faster per image. */
const largestBatch = 16;

/** Default batch size for images: 16, or fewer to fit into 256 MiB, and at least 1. */
export function imageBatchSize({ vision }: Pick<ClipConfig, "vision">): number {
  return Math.min(largestBatch, Math.max(1, Math.floor(budgetBytes / imageBytes(vision))));
}

/**
 * Peak memory per image of a batch, in bytes: its pixels, once in the current batch and twice in the next while that is
 * assembled, and the activations of the largest layer.
 */
export function imageBytes(vision: ClipConfig["vision"]): number {
  const pixels = 3 * vision.imageSize ** 2;
  // A ResNet's first stage: shortcut, branch and sum, each with 4 · width channels at a quarter of the image's side.
  const inside = vision.kind === "vit" ? vitNumbers(vision) : (3 * 4 * vision.width * vision.imageSize ** 2) / 16;
  return 4 * (3 * pixels + inside);
}

/** Values in a block: its input plus queries, keys and values twice and scores twice, or plus the MLP's hidden layer twice. */
function vitNumbers({ imageSize, patchSize, width, heads, mlpWidth = 4 * width }: VitConfig): number {
  const tokens = Math.floor(imageSize / patchSize) ** 2 + 1;
  return tokens * Math.max(7 * width + 2 * heads * tokens, width + 2 * mlpWidth);
}

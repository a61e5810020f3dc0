import { ClipError } from "../../core/errors.ts";
import type { ClipConfig } from "../../models/index.ts";

/**
 * What another's configuration says must be what the model is: it is read again and compared.
 *
 * @throws {ClipError} `CLIP_CONFIG` with what it cannot say.
 */
export function refuseUnlessEqual(said: ClipConfig, meant: ClipConfig, whose: string): void {
  const [left, right] = [withDefaults(said), withDefaults(meant)];
  // Settings are numbers, words or lists of numbers.
  const differing = Object.keys({ ...left, ...right }).filter((key) => String(left[key]) !== String(right[key]));
  if (differing.length === 0) return;
  const list = differing.map((key) => `${key} ${JSON.stringify(right[key])}`).join(", ");
  throw new ClipError("CLIP_CONFIG", `${whose} cannot say what this model is: ${list}; keep it as it is`);
}

/** All settings by their paths, those left out by what they stand for. */
function withDefaults({ vision, text, ...config }: ClipConfig): Record<string, unknown> {
  const tower = { mlpWidth: 4 * vision.width };
  const full = {
    ...{ layerNormEpsilon: 1e-5, score: "softmax", ...config },
    vision: vision.kind === "vit" ? { stem: "patch", pool: "class", descriptors: false, ...tower, ...vision } : vision,
    text: {
      ...{ mlpWidth: 4 * text.width, causal: true, pool: "endOfText", projectionBias: false },
      ...{ activation: config.activation, ...text },
    },
  };
  return Object.fromEntries(
    Object.entries(full).flatMap(([key, value]): [string, unknown][] =>
      typeof value === "object"
        ? Object.entries(value).map(([inner, setting]): [string, unknown] => [`${key}.${inner}`, setting])
        : [[key, value]],
    ),
  );
}

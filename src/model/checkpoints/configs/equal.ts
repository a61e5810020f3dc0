import { ClipError } from "../../../core/errors.ts";
import type { ClipConfig } from "../../towers/config.ts";

/** What differs between two architectures, with the second's values: `text.causal false`. */
export function differences(said: ClipConfig, meant: ClipConfig): string[] {
  const [left, right] = [withDefaults(said), withDefaults(meant)];
  // Settings are numbers, words or lists of numbers.
  const differing = Object.keys({ ...left, ...right }).filter((key) => String(left[key]) !== String(right[key]));
  return differing.map((key) => `${key} ${JSON.stringify(right[key])}`);
}

/**
 * What another's configuration says must be what the model is: it is read again and compared.
 *
 * @throws {ClipError} `CLIP_CONFIG` with what it cannot say.
 */
export function refuseUnlessEqual(said: ClipConfig, meant: ClipConfig, whose: string): void {
  const unsaid = differences(said, meant);
  if (unsaid.length === 0) return;
  throw new ClipError("CLIP_CONFIG", `${whose} cannot say what this model is: ${unsaid.join(", ")}; keep it as it is`);
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

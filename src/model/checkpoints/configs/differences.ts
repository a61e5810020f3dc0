import { ClipError } from "../../../core/errors.ts";
import type { ClipConfig } from "../../towers/config.ts";

/** Settings that differ between two architectures, with the second's values: `text.causal false`. */
export function differences(said: ClipConfig, meant: ClipConfig): string[] {
  const [left, right] = [withDefaults(said), withDefaults(meant)];
  // Settings are numbers, words or lists of numbers.
  const differing = Object.keys({ ...left, ...right }).filter((key) => String(left[key]) !== String(right[key]));
  return differing.map((key) => `${key} ${JSON.stringify(right[key])}`);
}

/**
 * Checks that another library's configuration, read back, describes the same model.
 *
 * @throws {ClipError} `CLIP_CONFIG` with the settings that it cannot express.
 */
export function refuseUnlessEqual(said: ClipConfig, meant: ClipConfig, whose: string): void {
  const unsaid = differences(said, meant);
  if (unsaid.length === 0) return;
  throw new ClipError("CLIP_CONFIG", `${whose} cannot express ${unsaid.join(", ")}; keep the model in our format`);
}

/** All settings by path, with defaults filled in. */
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

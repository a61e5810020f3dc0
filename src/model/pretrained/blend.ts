import { ClipError } from "../../core/errors.ts";
import { listed } from "../../core/listing.ts";
import { sameShape } from "../../core/shape.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import type { Parameters } from "./lora.ts";

/**
 * Interpolates weights: (1 − alpha) · original + alpha · tuned (WiSE-FT, Wortsman et al. 2022), exact at 0 and 1. logitScale is
 * blended as a logarithm, running statistics like weights.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if the architectures differ, with all differences.
 */
export function blend(original: Parameters, tuned: Parameters, alpha: number): Map<string, TensorData<"float32">> {
  const problems = [...new Set([...original.keys(), ...tuned.keys()])].flatMap((path) => {
    const [a, b] = [original.get(path)?.shape, tuned.get(path)?.shape];
    if (a && b && sameShape(a, b)) return [];
    const show = (shape?: readonly number[]) => (shape ? `[${shape.join(", ")}]` : "none");
    return [`${path}: ${show(a)} and ${show(b)}`];
  });
  if (problems.length > 0) {
    const lines = ["cannot blend models of different architectures", ...listed(problems)];
    throw new ClipError("CLIP_CHECKPOINT", lines.join("\n  "));
  }
  return new Map(
    Array.from(original, ([path, { data, shape }]) => {
      const other = tuned.get(path)!.data;
      return [
        path,
        float32(
          data.map((value, i) => (1 - alpha) * value + alpha * other[i]!),
          shape,
        ),
      ];
    }),
  );
}

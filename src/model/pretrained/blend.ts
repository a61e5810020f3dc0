import { ClipError } from "../../core/errors.ts";
import { listed } from "../../core/listing.ts";
import { sameShape } from "../../core/shape.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import type { Parameters } from "./lora.ts";

/**
 * The weights between a model's and those that training made of them, (1 − alpha) · original + alpha · tuned (Wortsman et al. 2022,
 * WiSE-FT). 0 gives the original's and 1 the tuned ones to the bit; logitScale is blended as the logarithm that it is, and
 * running statistics like all others.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if the two are not of one architecture, with all that differs.
 */
export function blend(original: Parameters, tuned: Parameters, alpha: number): Map<string, TensorData<"float32">> {
  const problems = [...new Set([...original.keys(), ...tuned.keys()])].flatMap((path) => {
    const [a, b] = [original.get(path)?.shape, tuned.get(path)?.shape];
    if (a && b && sameShape(a, b)) return [];
    const show = (shape?: readonly number[]) => (shape ? `[${shape.join(", ")}]` : "none");
    return [`${path}: ${show(a)} and ${show(b)}`];
  });
  if (problems.length > 0) {
    const lines = ["these are not two states of one model, and cannot be blended", ...listed(problems)];
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

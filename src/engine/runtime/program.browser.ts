import { decodeBfloat16, decodeFloat16 } from "../../core/half.ts";
import { readRange } from "../../core/files.browser.ts";
import type { Dtype } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import type { TensorPlace } from "../graph/ops.ts";
import { lowerProgram, modelOf, packedWeights } from "../onnx/build.ts";
import type { PrepareProgram } from "./program.ts";

/** Largest gap between two tensors that is fetched along to save a request. */
const maxGap = 4096;
/** Largest span fetched at once, unless a single tensor is larger. */
const maxSpan = 32 * 2 ** 20;

/** WebAssembly addresses 4 GiB, which must also hold the activations. */
const maxBlockBytes = 3.5 * 2 ** 30;

/** A tensor in a file, with its offset in the block. */
interface Weight extends TensorPlace {
  readonly dtype: Dtype;
  readonly at: number;
}

/**
 * Fetches only the weights that the program needs, into one block of bytes for ONNX Runtime. They become float32: not
 * every GPU supports half precision, and WebAssembly would hold both in memory.
 */
export const prepareProgram: PrepareProgram = async (outputs, { onProgress, signal } = {}) => {
  const weights = new Map<string, Weight>();
  let blockBytes = 0;
  const parts = lowerProgram(outputs, (place, dtype) => {
    const isHalf = dtype === "float16" || dtype === "bfloat16";
    const byteLength = isHalf ? 2 * place.byteLength : place.byteLength;
    const key = `${place.file} ${place.byteOffset} ${place.byteLength}`;
    let weight = weights.get(key);
    if (!weight) {
      weights.set(key, (weight = { ...place, dtype, at: blockBytes }));
      blockBytes += 8 * Math.ceil(byteLength / 8);
    }
    const packed = { file: packedWeights, byteOffset: weight.at, byteLength };
    return { dtype: isHalf ? "float32" : dtype, place: packed };
  });
  if (weights.size === 0) return modelOf(parts);
  if (blockBytes > maxBlockBytes) {
    const met = `${(blockBytes / 1e9).toFixed(1)} GB of weights as float32`;
    const problem = `a page has room for 3.5 GB of weights, but this program needs ${met}`;
    throw new ClipError("CLIP_RUNTIME", `${problem}; use a smaller model`);
  }
  const block = new Uint8Array(blockBytes);
  const spans = spansOf(weights.values());
  const total = spans.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let received = 0;
  for (const { file, byteOffset, byteLength, weights } of spans) {
    const onBytes = (count: number) => {
      received += count;
      onProgress?.({ url: file, received, total });
    };
    const bytes = await readRange(file, byteOffset, byteLength, { onBytes, signal });
    for (const weight of weights) {
      const start = weight.byteOffset - byteOffset;
      block.set(widened(bytes.slice(start, start + weight.byteLength), weight.dtype), weight.at);
    }
  }
  return { ...modelOf(parts), weights: block };
};

/** Bytes of a tensor, with half precision widened to float32. */
function widened(bytes: Uint8Array<ArrayBuffer>, dtype: Dtype): Uint8Array {
  if (dtype !== "float16" && dtype !== "bfloat16") return bytes;
  const decode = dtype === "float16" ? decodeFloat16 : decodeBfloat16;
  return new Uint8Array(decode(new Uint16Array(bytes.buffer)).buffer);
}

/** A range of a file fetched at once, with the weights in it. */
interface Span extends TensorPlace {
  readonly weights: readonly Weight[];
}

function spansOf(weights: Iterable<Weight>): Span[] {
  const spans: Span[] = [];
  const inOrder = [...weights].sort((a, b) =>
    a.file === b.file ? a.byteOffset - b.byteOffset : a.file < b.file ? -1 : 1,
  );
  for (const weight of inOrder) {
    const { file, byteOffset, byteLength } = weight;
    const last = spans.at(-1);
    const lastEnd = last ? last.byteOffset + last.byteLength : 0;
    const end = byteOffset + byteLength;
    if (last?.file === file && byteOffset <= lastEnd + maxGap && end - last.byteOffset <= maxSpan) {
      const whole = Math.max(lastEnd, end) - last.byteOffset;
      spans[spans.length - 1] = { ...last, byteLength: whole, weights: [...last.weights, weight] };
    } else spans.push({ file, byteOffset, byteLength, weights: [weight] });
  }
  return spans;
}

import { readRange } from "../core/files.browser.ts";
import type { TensorPlace } from "../graph/ops.ts";
import { lowerModel, packedWeights } from "../onnx/build.ts";
import type { PrepareProgram } from "./program.ts";

/** Bytes between two tensors that are fetched along rather than asked around. */
const maxGap = 4096;

/** A run of bytes of a file, and where it stands in the block. */
interface Span extends TensorPlace {
  readonly at: number;
}

/** The weights that the program needs, and no others, are fetched into one block of bytes, in which ONNX Runtime finds them. */
export const prepareProgram: PrepareProgram = async (outputs, onProgress) => {
  const places: TensorPlace[] = [];
  lowerModel(outputs, (place) => {
    places.push(place);
    return place;
  });
  if (places.length === 0) return lowerModel(outputs, (place) => place);
  const spans = spansOf(places);
  const model = lowerModel(outputs, (place) => {
    const span = spans.find(({ file, byteOffset, byteLength }) => {
      const start = place.byteOffset - byteOffset;
      return file === place.file && start >= 0 && start + place.byteLength <= byteLength;
    })!;
    return { ...place, file: packedWeights, byteOffset: span.at + place.byteOffset - span.byteOffset };
  });
  const total = spans.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const weights = new Uint8Array(total);
  let received = 0;
  for (const { file, byteOffset, byteLength, at } of spans) {
    const onBytes = (count: number) => onProgress?.({ url: file, received: (received += count), total });
    weights.set(await readRange(file, byteOffset, byteLength, onBytes), at);
  }
  return { ...model, weights };
};

/** Places that follow each other in a file, as one. */
function spansOf(places: readonly TensorPlace[]): Span[] {
  const spans: Span[] = [];
  const inOrder = places.toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.byteOffset - b.byteOffset));
  for (const { file, byteOffset, byteLength } of inOrder) {
    const last = spans.at(-1);
    const end = last ? last.byteOffset + last.byteLength : 0;
    if (last?.file === file && byteOffset <= end + maxGap) {
      spans[spans.length - 1] = { ...last, byteLength: Math.max(end, byteOffset + byteLength) - last.byteOffset };
    } else spans.push({ file, byteOffset, byteLength, at: last ? last.at + last.byteLength : 0 });
  }
  return spans;
}

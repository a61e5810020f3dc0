import type { WatchOptions } from "../../core/atomic-write.ts";
import { abortSignal, callback, checkOptions, oneOf, type OptionKinds, record } from "../../core/options.ts";
import { ClipError } from "../../core/errors.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import { encodeFloat16Weights } from "../../core/half.ts";
import type { StoredParameter } from "./load.ts";
import { type Layout, layouts } from "./names/layouts.ts";
import type { Naming } from "./names/patterns.ts";
import { rawBytes, type DeferredTensor, writeDeferred } from "./write-safetensors.ts";
import { elementBytes, inOrder, readFloats, readTensorBytes } from "./stored-tensor.ts";

export interface SaveOptions extends WatchOptions {
  /** Tensor names; default our own. */
  readonly layout?: Layout | undefined;
  /** Dtype for float32 tensors of two or more axes; default F32. */
  readonly dtype?: "F32" | "F16" | undefined;
}

const saveKinds: OptionKinds<SaveOptions> = {
  layout: record,
  dtype: oneOf("F32", "F16"),
  onProgress: callback,
  signal: abortSignal,
};

/** The values of a parameter, in memory or in files. */
export type SavableParameter = TensorData<"float32"> | StoredParameter;

/**
 * Writes a model's parameters to a safetensors file, atomically. Bytes from files are copied unchanged, one parameter in
 * memory at a time.
 *
 * @param parameters - by path.
 * @throws {ClipError} `CLIP_FILE` if it cannot be written, `CLIP_CHECKPOINT` if the layout has no name for a parameter, or a
 *   value overflows half precision.
 */
export async function saveParameters(
  path: string,
  parameters: ReadonlyMap<string, SavableParameter>,
  options: SaveOptions = {},
): Promise<void> {
  checkOptions("saveParameters", options, saveKinds);
  const { layout = layouts.ours, dtype = "F32", ...watch } = options;
  const tensors = new Map<string, DeferredTensor>();
  for (const [ours, parameter] of parameters) {
    const namings = layout.fromOurs(ours);
    if (namings.length === 0)
      throw new ClipError("CLIP_CHECKPOINT", `${layout.title} cannot hold ${ours}; keep the model in our format`);
    for (const naming of namings) tensors.set(naming.name, deferred(parameter, naming, dtype));
    // PyTorch's strict loading requires the counter beside the running statistics.
    const variance = namings[0]!.name;
    if (layout !== layouts.ours && ours.endsWith(".runningVar"))
      tensors.set(variance.replace("running_var", "num_batches_tracked"), {
        ...{ dtype: "I64", shape: [] },
        bytes: () => new Uint8Array(8),
      });
  }
  await writeDeferred(path, tensors, watch);
}

/** The slice of a parameter that a tensor of the layout holds. */
function deferred(parameter: SavableParameter, naming: Naming, dtype: "F32" | "F16"): DeferredTensor {
  const { shape, transposed, leadingOnes } = { ...parameter, ...naming };
  const [from, to, of] = naming.rows;
  const [rows = 1, ...rest] = shape;
  if (rows % of !== 0) throw new ClipError("CLIP_CHECKPOINT", `${naming.name}: ${rows} rows do not divide by ${of}`);
  const cut = of === 1 ? shape : [((to - from) * rows) / of, ...rest];
  const turned = transposed ? cut.toReversed() : cut;
  const source = sourceOf(parameter);
  const halved = source.dtype === "F32" && dtype === "F16" && shape.length > 1;
  return {
    dtype: halved ? "F16" : source.dtype,
    shape: [...Array<number>(leadingOnes).fill(1), ...turned],
    bytes: async () => {
      const all = await source.bytes();
      const part = all.subarray((all.length / of) * from, (all.length / of) * to);
      const bytes = transposed ? transposeBytes(part, cut, elementBytes[source.dtype]) : part;
      return halved
        ? rawBytes(encodeFloat16Weights(naming.name, new Float32Array(new Uint8Array(bytes).buffer)))
        : bytes;
    },
  };
}

/** The bytes of a parameter in our orientation; float32 if its parts differ in dtype. */
function sourceOf(parameter: SavableParameter): Pick<DeferredTensor, "dtype" | "bytes"> {
  if ("data" in parameter) return { dtype: "F32", bytes: () => rawBytes(parameter.data) };
  const { parts, transposed, shape } = parameter;
  const own = parts.every((part) => part.dtype === parts[0]!.dtype) ? parts[0]!.dtype : undefined;
  const dtype = own ?? "F32";
  return {
    dtype,
    bytes: async () => {
      const pieces = parts.map(async (part) =>
        own ? new Uint8Array(await readTensorBytes(part)) : rawBytes((await readFloats(part)).data),
      );
      const joined = Buffer.concat(await Promise.all(pieces));
      return transposed ? transposeBytes(joined, shape.toReversed(), elementBytes[dtype]) : joined;
    },
  };
}

/** [rows, columns] → [columns, rows] */
function transposeBytes(bytes: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  return inOrder(bytes, shape.toReversed(), [1, 0], size);
}

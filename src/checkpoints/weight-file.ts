import { z } from "zod";
import { ClipError } from "../core/errors.ts";
import { dirname, join, readRange, sizeOf } from "../core/files.ts";
import { listed } from "../core/listing.ts";
import { readJson } from "../core/parse.ts";
import { modelTensors, type TensorGroups } from "./names/model-tensors.ts";
import { openSafetensors } from "./safetensors.ts";
import type { StoredTensor } from "./stored-tensor.ts";

/** What a file of weights holds, whatever wrote it. */
export interface WeightFile {
  readonly container: "safetensors" | "shards" | "torchScript" | "stateDict" | "onnx";
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What stands among them and is no tensor, with the class or function that would make it. */
  readonly opaque?: ReadonlyMap<string, string>;
}

/**
 * Finds the tensors of the model in a file: safetensors, or what PyTorch writes; the first bytes tell which, not the name. An ONNX file (`.onnx`) has weights if this library wrote it. The index of
 * weights that are spread over several files (`*.index.json`) stands for all of them.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, `CLIP_CHECKPOINT` if it is damaged or of no kind that we know.
 */
export async function openWeightFile(path: string): Promise<WeightFile> {
  return openWeights(path, (groups) => modelTensors(groups, path));
}

type Choose = <Value>(groups: TensorGroups<Value>) => ReadonlyMap<string, Value>;

async function openWeights(path: string, choose: Choose): Promise<WeightFile> {
  if (path.endsWith(".index.json")) return openShards(path, choose);
  if (path.endsWith(".onnx")) {
    const { openOnnxFile } = await import("./onnx-file.ts");
    return { container: "onnx", tensors: await openOnnxFile(path) };
  }
  const head = new Uint8Array(8);
  head.set(await readRange(path, 0, Math.min(8, (await sizeOf(path)) ?? 8)));
  // A zip archive begins with "PK", a pickle with 0x80. So may the length that safetensors begins with, but it has 64 bits,
  // of which the upper half is then zero.
  const [first, second] = head;
  const isPickled = first === 0x80 || (first === 0x50 && second === 0x4b);
  const torch = isPickled && head.subarray(4).some((byte) => byte !== 0);
  if (torch) {
    // Loaded when it is needed: a program whose weights are safetensors starts sooner, and a page fetches less.
    const { openTorchArchive } = await import("./torch-archive.ts");
    return openTorchArchive(path, choose);
  }
  const { tensors } = await openSafetensors(path);
  return { container: "safetensors", tensors: choose(new Map([["", tensors]])) };
}

const indexSchema = z.object({
  weight_map: z.record(
    z.string(),
    // No other index, which might name this one.
    z.string().regex(/^[^/\\]+\.(safetensors|bin|pt)$/, "must be a weight file beside the index"),
  ),
});

/** A part of a model is a plain dictionary. */
const all: Choose = (groups) => new Map([...groups.values()].flatMap((names) => [...names]));

/** The tensors of all files that an index names, each from the file in which the index has it. */
async function openShards(path: string, choose: Choose): Promise<WeightFile> {
  const { weight_map: files } = await readJson(indexSchema, path);
  const shards = new Map<string, WeightFile["tensors"]>();
  for (const file of new Set(Object.values(files))) {
    shards.set(file, (await openWeights(join(dirname(path), file), all)).tensors);
  }
  const tensors = new Map<string, StoredTensor>();
  const missing: string[] = [];
  for (const [name, file] of Object.entries(files)) {
    const tensor = shards.get(file)!.get(name);
    if (tensor) tensors.set(name, tensor);
    else missing.push(`${name} in ${file}`);
  }
  if (missing.length > 0)
    throw new ClipError("CLIP_CHECKPOINT", `${path} promises what is not there:\n  ${listed(missing).join("\n  ")}`);
  return { container: "shards", tensors: choose(new Map([["", tensors]])) };
}

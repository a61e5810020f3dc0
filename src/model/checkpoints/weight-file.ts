import { z } from "zod";
import { ClipError } from "../../core/errors.ts";
import { dirname, exists, join, readRange, fileSize } from "../../core/files.ts";
import { cut, listed } from "../../core/listing.ts";
import { readJson } from "../../core/parse.ts";
import { refuseLfsPointer } from "../../core/text-file.ts";
import { modelTensors, type TensorGroups } from "./names/model-tensors.ts";
import { openSafetensors } from "./safetensors.ts";
import type { StoredTensor } from "./stored-tensor.ts";

export interface WeightFile {
  readonly container: "safetensors" | "shards" | "torchScript" | "stateDict" | "onnx";
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Entries among the tensors that would need code to be run, by the class or function that makes them. */
  readonly opaque?: ReadonlyMap<string, string>;
}

/**
 * Locates a model's tensors in a safetensors, PyTorch or (if this library wrote it) ONNX file, or in the shards of an index
 * (`*.index.json`). Safetensors and PyTorch files are told apart by their first bytes, not their names.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, `CLIP_CHECKPOINT` if it is damaged or of an unknown format.
 */
export async function openWeightFile(path: string): Promise<WeightFile> {
  return openWeights(path, (groups) => modelTensors(groups, path));
}

/** Bytes that identify a file's format. */
const headBytes = 64;

/**
 * Refuses files that are often mistaken for weights: GGUF, and text such as a login page. No weights begin with 8 printable
 * characters.
 */
function refuseOthers(head: Uint8Array, path: string): void {
  refuseLfsPointer(head, path);
  const text = new TextDecoder().decode(head);
  if (text.startsWith("GGUF"))
    throw new ClipError("CLIP_CHECKPOINT", `${path} is a GGUF file; clip-ts reads safetensors and PyTorch files`);
  if (!/^[\t\n\r\x20-\x7e]{8}/.test(text)) return;
  const start = cut(text.trim().split(/[\0\n\r]/, 1)[0]!);
  throw new ClipError("CLIP_CHECKPOINT", `${path} is text, not weights: "${start}"; download it again`);
}

type Choose = <Value>(groups: TensorGroups<Value>) => ReadonlyMap<string, Value>;

async function openWeights(path: string, choose: Choose): Promise<WeightFile> {
  if (path.endsWith(".index.json")) return openShards(path, choose);
  const head = await readRange(path, 0, Math.min(headBytes, (await fileSize(path)) ?? headBytes));
  refuseOthers(head, path);
  if (path.endsWith(".onnx")) {
    const { openOnnxFile } = await import("./onnx-file.ts");
    return { container: "onnx", tensors: await openOnnxFile(path) };
  }
  // A zip archive begins with "PK", a pickle with 0x80. A safetensors file may too, but its first 8 bytes are a length,
  // whose upper half is then zero.
  const [first, second] = head;
  const isPickled = first === 0x80 || (first === 0x50 && second === 0x4b);
  const torch = isPickled && head.subarray(4, 8).some((byte) => byte !== 0);
  if (torch) {
    // Loaded on demand: programs with safetensors start sooner, and pages fetch less.
    const { openTorchArchive } = await import("./torch-archive.ts");
    return openTorchArchive(path, choose);
  }
  const { tensors } = await openSafetensors(path);
  return { container: "safetensors", tensors: choose(new Map([["", tensors]])) };
}

const indexSchema = z.object({
  weight_map: z.record(
    z.string(),
    // No other index, which could refer back to this one.
    z.string().regex(/^[^/\\]+\.(safetensors|bin|pt)$/, "must be a weight file beside the index"),
  ),
});

/** A shard is a plain dictionary. */
const all: Choose = (groups) => new Map([...groups.values()].flatMap((names) => [...names]));

/** The tensors of an index, each from the shard that the index assigns. */
async function openShards(path: string, choose: Choose): Promise<WeightFile> {
  const { weight_map: files } = await readJson(indexSchema, path);
  const shards = new Map<string, WeightFile["tensors"]>();
  const absent: string[] = [];
  for (const file of new Set(Object.values(files))) {
    const part = join(dirname(path), file);
    if (await exists(part)) shards.set(file, (await openWeights(part, all)).tensors);
    else absent.push(file);
  }
  if (absent.length > 0)
    throw new ClipError(
      "CLIP_FILE",
      `${path} needs files that are not beside it: ${listed(absent).join(", ")}; download them`,
    );
  const tensors = new Map<string, StoredTensor>();
  const missing: string[] = [];
  for (const [name, file] of Object.entries(files)) {
    const tensor = shards.get(file)!.get(name);
    if (tensor) tensors.set(name, tensor);
    else missing.push(`${name} in ${file}`);
  }
  if (missing.length > 0)
    throw new ClipError("CLIP_CHECKPOINT", `${path} lists missing tensors:\n  ${listed(missing).join("\n  ")}`);
  return { container: "shards", tensors: choose(new Map([["", tensors]])) };
}

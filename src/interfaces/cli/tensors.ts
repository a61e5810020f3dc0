import type { TensorData } from "../../core/tensor-data.ts";
import { writeSafetensors } from "../../model/checkpoints/write-safetensors.ts";
import type { CliIo } from "./io.ts";
import { printJson } from "./output.ts";

/**
 * Writes a safetensors file and reports its tensors.
 *
 * @param document - `model` and `data` of the JSON document; none is printed without it.
 */
export async function writeTensors(
  file: string,
  tensors: ReadonlyMap<string, TensorData>,
  document: { readonly model: string | undefined; readonly data: string } | false | undefined,
  io: CliIo,
): Promise<void> {
  await writeSafetensors(file, tensors);
  const written = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  io.err(`wrote ${file}: ${written.map(({ name, shape }) => `${name} [${shape.join(", ")}]`).join(", ")}`);
  if (document) printJson({ ...document, results: { file, tensors: written } }, io);
}

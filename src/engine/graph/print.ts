import { basename } from "../../core/files.ts";
import type { TensorPlace } from "./ops.ts";
import { attrsOf, reachable, type Tensor } from "./tensor.ts";

/** Largest constant that is printed in full. */
const shownElements = 8;

/**
 * Prints a program, one line per tensor in order of creation: name, dtype, shape, op. Scalar constants are printed
 * where they are used; the last line lists the outputs.
 */
export function printProgram(outputs: Readonly<Record<string, Tensor>>): string {
  const labels = new Map<Tensor, string>();
  const lines: string[] = [];
  let numbered = 0;
  const reference = (tensor: Tensor) => labels.get(tensor)!;
  for (const tensor of reachable(Object.values(outputs))) {
    if (tensor.op === "constant" && tensor.rank === 0) {
      labels.set(tensor, formatNumber(attrsOf<"constant">(tensor as Tensor & { op: "constant" }).data[0]!));
      continue;
    }
    const isNamed = tensor.op === "input" || tensor.op === "stored";
    const label = isNamed ? tensor.name! : `%${numbered++}`;
    labels.set(tensor, label);
    const made = tensor.op === "input" ? "" : ` = ${making(tensor, reference)}`;
    const comment = tensor.name !== undefined && !isNamed ? `  # ${tensor.name}` : "";
    lines.push(`${label}: ${tensor.dtype} [${tensor.shape.join(", ")}]${made}${comment}`);
  }
  const results = Object.entries(outputs).map(([name, tensor]) => `${name} = ${reference(tensor)}`);
  return [...lines, `return ${results.join(", ")}`].join("\n");
}

function making(tensor: Tensor, reference: (tensor: Tensor) => string): string {
  const attrs = tensor.attrs as Readonly<Record<string, unknown>>;
  if (tensor.op === "stored") {
    const { file, byteOffset } = attrs["place"] as TensorPlace;
    return `stored(${basename(file)} from byte ${byteOffset})`;
  }
  if (tensor.op === "constant") {
    const elements = attrs["data"] as ArrayLike<number | bigint>;
    return `constant(${elements.length > shownElements ? "…" : Array.from(elements, formatNumber).join(", ")})`;
  }
  const settings = Object.entries(attrs).map(([key, value]) => `${key} ${formatAttribute(value)}`);
  return `${tensor.op}(${[...tensor.inputs.map(reference), ...settings].join(", ")})`;
}

function formatAttribute(value: unknown): string {
  return Array.isArray(value)
    ? `[${value.join(", ")}]`
    : typeof value === "number"
      ? formatNumber(value)
      : String(value);
}

/** Seven digits, the precision of float32. */
function formatNumber(value: number | bigint): string {
  return typeof value === "bigint" || Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)));
}

import { sameShape } from "../../core/shape.ts";
import type { OpSignatures } from "./ops.ts";
import { attrsOf, concat, reachable, scalar, Tensor } from "./tensor.ts";

type Padding = OpSignatures["pad"]["attrs"];

/**
 * Simplifies a program: merges equal expressions, folds arithmetic on constants, removes no-ops (x · 1, x + 0, −−x,
 * inverse transposes and reshapes), and casts only the gathered rows of a table.
 */
export function simplify(outputs: readonly Tensor[]): Tensor[] {
  const simplified = new Map<Tensor, Tensor>();
  const known = new Map<string, Tensor>();
  const once = (tensor: Tensor): Tensor => {
    const key = identity(tensor);
    const equal = known.get(key) ?? tensor;
    known.set(key, equal);
    return equal;
  };
  const tensors = reachable(outputs);
  const users = new Map<Tensor, number>();
  for (const x of [...outputs, ...tensors.flatMap(({ inputs }) => inputs)]) users.set(x, (users.get(x) ?? 0) + 1);
  for (const tensor of tensors) {
    const inputs = tensor.inputs.map((x) => simplified.get(x)!);
    // Create a new tensor even if nothing changed, so that ids keep the order of computation.
    const moved = new Tensor(tensor.op, inputs, tensor.attrs, tensor.shape, tensor.dtype);
    if (tensor.name !== undefined) moved.named(tensor.name);
    const [x] = tensor.inputs;
    const turned = x && users.get(x) === 1 ? turnProduct(moved, once) : undefined;
    simplified.set(tensor, once(turned ?? shorten(moved)));
  }
  return outputs.map((tensor) => simplified.get(tensor)!);
}

/** Key that is equal for equal expressions: op, inputs and attributes. */
function identity(tensor: Tensor): string {
  const inputs = tensor.inputs.map(({ id }) => id);
  const attrs = JSON.stringify(tensor.attrs, (key, value: unknown) =>
    key === "data" ? contentKey(value as ArrayLike<number | bigint>) : value,
  );
  return `${tensor.op} ${inputs.join()} ${attrs}`;
}

const largeArrays = new WeakMap<object, number>();
let largeArrayCount = 0;

/** Small arrays compare by content, large ones by identity. */
function contentKey(data: ArrayLike<number | bigint>): string {
  if (data.length <= 64) return Array.from(data, (value) => (Object.is(value, -0) ? "-0" : String(value))).join();
  let id = largeArrays.get(data);
  if (id === undefined) largeArrays.set(data, (id = largeArrayCount++));
  return `array ${id}`;
}

const arithmetic: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  exp: (a) => Math.exp(a),
  log: (a) => Math.log(a),
  sqrt: (a) => Math.sqrt(a),
};

/** An equal tensor with fewer ops, or the tensor itself. */
function shorten(tensor: Tensor): Tensor {
  const [a, b] = tensor.inputs;
  if (!a) return tensor;
  const [numberA, numberB] = [numberOf(a), b && numberOf(b)];
  const compute = arithmetic[tensor.op];
  if (compute && tensor.rank === 0 && numberA !== undefined && (!b || numberB !== undefined)) {
    return scalar(Math.fround(compute(numberA, numberB ?? 0)));
  }
  const unchanged = (x: Tensor | undefined) => x && sameShape(x.shape, tensor.shape);
  switch (tensor.op) {
    case "mul":
      if (numberB === 1 && unchanged(a)) return a;
      return numberA === 1 && unchanged(b) ? b! : tensor;
    case "div":
      return numberB === 1 && unchanged(a) ? a : tensor;
    case "add":
      if (numberB === 0 && unchanged(a)) return a;
      if (numberA === 0 && unchanged(b)) return b!;
      return joinPads(a, b!) ?? joinPads(b!, a) ?? tensor;
    case "neg":
      return a.op === "neg" ? a.inputs[0]! : tensor;
    case "reshape":
      if (a.op === "reshape") return a.inputs[0]!.reshape(tensor.shape);
      return unchanged(a) ? a : tensor;
    case "expand":
      return unchanged(a) ? a : tensor;
    case "transpose": {
      const { perm } = attrsOf<"transpose">(tensor as Tensor & { op: "transpose" });
      // Only axes of size 1 move, so the elements keep their order.
      const sized = perm.filter((axis) => a.shape[axis] !== 1);
      if (sized.every((axis, i) => i === 0 || axis > sized[i - 1]!)) return shorten(a.reshape(tensor.shape));
      if (a.op !== "transpose") return tensor;
      const inner = attrsOf<"transpose">(a as Tensor & { op: "transpose" }).perm;
      return a.inputs[0]!.transpose(perm.map((axis) => inner[axis]!));
    }
    case "gather":
      // Cast only the gathered rows: a cast table would be in memory twice.
      return a.op === "cast" ? a.inputs[0]!.gather(b!).cast(tensor.dtype) : tensor;
    default:
      return tensor;
  }
}

/** Rewrites the sum of two padded tensors, where b begins at the end of a, as a padded concatenation. */
function joinPads(a: Tensor, b: Tensor): Tensor | undefined {
  if (a.op !== "pad" || b.op !== "pad") return undefined;
  const [one, other] = [a, b].map((pad) => attrsOf<"pad">(pad as Tensor & { op: "pad" })) as [Padding, Padding];
  const [x, y] = [a.inputs[0]!, b.inputs[0]!];
  const axes = a.shape.flatMap((dim, axis) => (dim === x.shape[axis] && dim === y.shape[axis] ? [] : [axis]));
  const [axis] = axes as [number, ...number[]];
  if (axes.length > 1 || other.before[axis] !== one.before[axis]! + (x.shape[axis] as number)) return undefined;
  const parts = [x, y].flatMap((part) => (part.op === "concat" && concatAxis(part) === axis ? part.inputs : [part]));
  return concat(parts, axis).pad(one.before, other.after);
}

function concatAxis(tensor: Tensor): number {
  return attrsOf<"concat">(tensor as Tensor & { op: "concat" }).axis;
}

/**
 * Rewrites the transpose of an otherwise unused product A·B as Bᵀ·Aᵀ, since a product reads transposed matrices without
 * copying.
 */
function turnProduct(tensor: Tensor, once: (tensor: Tensor) => Tensor): Tensor | undefined {
  const [product] = tensor.inputs as readonly [Tensor];
  if (tensor.op !== "transpose" || product.op !== "matmul" || product.inputs.some(({ rank }) => rank !== 2))
    return undefined;
  const [left, right] = product.inputs.map((matrix) => once(shorten(matrix.T)));
  return right!.matmul(left!);
}

/** Value of a float32 scalar constant; undefined for other tensors. */
function numberOf(tensor: Tensor): number | undefined {
  if (tensor.op !== "constant" || tensor.dtype !== "float32" || tensor.rank > 0) return undefined;
  return Number(attrsOf<"constant">(tensor as Tensor & { op: "constant" }).data[0]);
}

import { ClipError, ShapeError } from "../../core/errors.ts";
import { checkKind, checkOptions, listOf } from "../../core/options.ts";
import { sameShape } from "../../core/shape.ts";
import { describe } from "../graph/describe.ts";
import { apply, reachable, scalar, type Tensor, tensorKind } from "../graph/tensor.ts";
import { gradientRules } from "./gradient-rules.ts";

/** How to recompute the result of a {@link checkpoint}. */
interface Recipe {
  readonly input: Tensor;
  readonly compute: (x: Tensor) => Tensor;
  /** Tensors made by `compute` have higher ids. */
  readonly before: number;
}

const recipes = new WeakMap<Tensor, Recipe>();

/**
 * Returns `compute(x)`, keeping only `x` for the backward pass, which recomputes the rest (Chen et al. 2016). Saves
 * memory for more time; values are the same.
 */
export function checkpoint(compute: (x: Tensor) => Tensor, x: Tensor): Tensor {
  const before = scalar(0).id;
  const y = compute(x);
  if (y.id > before) recipes.set(y, { input: x, compute, before });
  return y;
}

/**
 * Differentiates a scalar by reverse accumulation. Gradients are tensors of the same graph, so they can be
 * differentiated again.
 *
 * @example
 * ```ts
 * const x = input("x", [3]);
 * const [dx] = gradients(x.square().sum(), [x]);
 * await using session = await Session.compile({ dx: dx! });
 * console.log((await session.run({ x: float32([1, 2, 3], [3]) }))["dx"]);
 * ```
 *
 * @param loss - a scalar; or any tensor with `seed`, the gradient of the actual loss with respect to it, of the same
 *   shape.
 * @param wrt - tensors to differentiate with respect to.
 * @returns One gradient per tensor of `wrt`, in order and of the same shape; zeros if the loss does not depend on it.
 * @throws {ShapeError} if the loss is not a scalar and there is no seed, or the seed has another shape.
 * @throws {ClipError} `CLIP_USAGE` for a tensor of `wrt` that was made inside a {@link checkpoint}.
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[], options: { seed?: Tensor } = {}): Tensor[] {
  checkKind("gradients: the loss", loss, tensorKind);
  checkKind("gradients: wrt", wrt, listOf(tensorKind));
  checkOptions("gradients", options, { seed: tensorKind });
  const { seed } = options;
  if (!seed && loss.rank > 0) throw new ShapeError("gradients", "the loss must be a scalar", { loss: describe(loss) });
  if (seed && !sameShape(seed.shape, loss.shape))
    throw new ShapeError("gradients", "the seed must have the shape of the loss", {
      loss: describe(loss),
      seed: describe(seed),
    });
  for (const y of reachable([loss])) {
    const before = recipes.get(y)?.before ?? y.id;
    const inside = wrt.find(({ id }) => id > before && id < y.id);
    if (inside)
      throw new ClipError(
        "CLIP_USAGE",
        `gradients: ${describe(inside)} was made inside a checkpoint, which is recomputed; differentiate with respect to the checkpoint's input or result`,
      );
  }
  const dys = new Map<Tensor, Tensor>([[loss, seed ?? scalar(1)]]);
  walk(loss, new Set(wrt), dys);
  return wrt.map((x) => dys.get(x) ?? scalar(0).expand(x.shape));
}

/** Visits the tensors between `wrt` and `output`, users first, and accumulates the gradients of their inputs. */
function walk(output: Tensor, wrt: ReadonlySet<Tensor>, dys: Map<Tensor, Tensor>, after = -1): void {
  const order = reachable([output]).filter(({ id }) => id > after);
  const active = new Set(wrt);
  for (const tensor of order) if (tensor.inputs.some((x) => active.has(x))) active.add(tensor);

  for (const y of order.reverse()) {
    const dy = dys.get(y);
    if (!dy || !active.has(y)) continue;
    if (!wrt.has(y)) dys.delete(y);

    const recipe = recipes.get(y);
    if (recipe) {
      const inner = apply("recompute", [recipe.input], {});
      const again = recipe.compute(inner);
      dys.set(again, dy);
      walk(again, new Set([...active, inner]), dys, inner.id - 1);
      continue;
    }
    const rule = gradientRules[y.op as "neg"] as (backward: object) => readonly (Tensor | null)[];
    rule({ x: y.inputs, y, dy, attrs: y.attrs }).forEach((dx, i) => {
      const x = y.inputs[i]!;
      if (!dx || !active.has(x)) return;
      const sum = dys.get(x);
      dys.set(x, sum ? sum.add(dx) : dx);
    });
  }
}

import { ShapeError } from "../../core/errors.ts";
import { describe } from "../../engine/graph/describe.ts";
import { apply, type Tensor } from "../../engine/graph/tensor.ts";

/**
 * Parameters of a linear layer. Every layer is a function of such a plain record; a leaf's path in the model's record is
 * its name in our files. Leaves are tensors in a graph, and specs (shape, initial values) before one is built.
 */
export interface Linear<Leaf = Tensor> {
  /** [out, in] */
  readonly weight: Leaf;
  /** [out] */
  readonly bias: Leaf;
  /** Added to the weight. */
  readonly lora?: LowRank<Leaf>;
}

/** A matrix of rank R as the product up · down (LoRA, Hu et al. 2022). */
export interface LowRank<Leaf = Tensor> {
  /** [R, in] */
  readonly down: Leaf;
  /** [out, R] */
  readonly up: Leaf;
}

/** Gain and shift of a layer norm or group norm, [W] or [C]. */
export interface NormParameters<Leaf = Tensor> {
  readonly weight: Leaf;
  readonly bias: Leaf;
}

/** The two layers of a Transformer's MLP. */
export interface Mlp<Leaf = Tensor> {
  readonly fc: Linear<Leaf>;
  readonly proj: Linear<Leaf>;
}

/** One matrix [3W, W] for queries, keys and values, in that order, and the output projection. */
export interface Attention<Leaf = Tensor> {
  readonly qkv: Linear<Leaf>;
  readonly out: Linear<Leaf>;
}

/** A pre-norm Transformer block. */
export interface Block<Leaf = Tensor> {
  readonly ln1: NormParameters<Leaf>;
  readonly attn: Attention<Leaf>;
  readonly ln2: NormParameters<Leaf>;
  readonly mlp: Mlp<Leaf>;
}

/** Activation of the MLPs. It never has a default: weights do not show it, and a wrong one silently lowers accuracy. */
export type Activation = "quickGelu" | "gelu" | "geluTanh";

export interface BlockConfig {
  readonly heads: number;
  readonly activation: Activation;
  /** ε of the layer norms; default {@link layerNormEpsilon}. */
  readonly layerNormEpsilon?: number | undefined;
}

/** ε of CLIP's layer norms, added to the variance. */
export const layerNormEpsilon = 1e-5;

const approximations = { quickGelu: "sigmoid", gelu: "none", geluTanh: "tanh" } as const;

/** x·Wᵀ + b over the last axis: [*, in] → [*, out]. */
export function linear({ weight, bias, lora }: Linear, x: Tensor): Tensor {
  const flat = x.reshape([-1, x.shape.at(-1)!]);
  const whole = flat.matmul(weight.T).add(bias);
  // Two thin products instead of a change to the weight: no gradient as large as the weight is needed.
  const rows = lora ? whole.add(flat.matmul(lora.down.T).matmul(lora.up.T)) : whole;
  return rows.reshape([...x.shape.slice(0, -1), weight.shape[0]!]);
}

/** Normalises the last axis. */
export function layerNorm({ weight, bias }: NormParameters, x: Tensor, epsilon = layerNormEpsilon): Tensor {
  return apply("layerNorm", [x, weight, bias], { epsilon });
}

export interface AttentionOptions {
  /** Added to the scores, [N, H, L, L] or, with `read`, [N, H, R, L]. */
  readonly mask?: Tensor | undefined;
  /** Picks the tokens whose output is needed, [N, L, W] → [N, R, W]. They attend to all tokens; the rest is not computed. */
  readonly read?: ((tokens: Tensor) => Tensor) | undefined;
}

const readAll = (tokens: Tensor) => tokens;

/** x ← x + MSA(LN(x)); x ← x + MLP(LN(x)) (Dosovitskiy et al. 2021, eq. 2–3). [N, L, W] → [N, L, W], or [N, R, W] with `read` */
export function block(
  p: Block,
  config: BlockConfig,
  x: Tensor,
  { mask, read = readAll }: AttentionOptions = {},
): Tensor {
  const { heads, activation, layerNormEpsilon: epsilon } = config;
  x = read(x).add(attention(p.attn, heads, layerNorm(p.ln1, x, epsilon), { mask, read }));
  return x.add(mlp(p.mlp, activation, layerNorm(p.ln2, x, epsilon)));
}

/** Two linear layers with an activation between them. */
export function mlp(p: Mlp, activation: Activation, x: Tensor): Tensor {
  return linear(p.proj, linear(p.fc, x).gelu(approximations[activation]));
}

/** Multi-head self-attention. [N, L, W] → [N, L, W], or [N, R, W] with `read` */
export function attention(
  p: Attention,
  heads: number,
  x: Tensor,
  { mask, read = readAll }: AttentionOptions = {},
): Tensor {
  const width = x.shape[2] as number;
  const qkv = linear(p.qkv, x);
  const [q, k, v] = [read, readAll, readAll].map((pick, i) => splitHeads(pick(qkv.slice(2, i * width, width)), heads));
  return linear(p.out, mergeHeads(attend(q!, k!, v!, mask)));
}

/** Attention of learned queries to a sequence. `queries` [1, Q, W], x [N, L, W] → [N, Q, W] */
export function crossAttention(p: Attention, heads: number, queries: Tensor, x: Tensor): Tensor {
  const width = x.shape[2] as number;
  const part = (i: number, count: number): Linear => ({
    weight: p.qkv.weight.slice(0, i * width, count * width),
    bias: p.qkv.bias.slice(0, i * width, count * width),
  });
  const q = splitHeads(linear(part(0, 1), queries), heads); // [1, H, Q, D]
  const kv = linear(part(1, 2), x);
  const [k, v] = [0, 1].map((i) => splitHeads(kv.slice(2, i * width, width), heads));
  return linear(p.out, mergeHeads(attend(q, k!, v!)));
}

/** softmax(q·kᵀ / √D + mask)·v over [N, H, L, D]. q is scaled rather than the scores, which are larger. */
export function attend(q: Tensor, k: Tensor, v: Tensor, mask?: Tensor): Tensor {
  const scores = q.mul(1 / Math.sqrt(q.shape.at(-1) as number)).matmul(k.T);
  return (mask ? scores.add(mask) : scores).softmax(-1).matmul(v);
}

/** [N, L, W] → [N, H, L, W / H] */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [n, length, width] = x.shape as readonly [number, number, number];
  if (width % heads !== 0)
    throw new ShapeError("attention", `width ${width} does not divide into ${heads} heads`, { x: describe(x) });
  return x.reshape([n, length, heads, width / heads]).transpose([0, 2, 1, 3]);
}

/** [N, H, L, D] → [N, L, H·D] */
export function mergeHeads(x: Tensor): Tensor {
  const [n, heads, length, headDim] = x.shape as readonly [number, number, number, number];
  return x.transpose([0, 2, 1, 3]).reshape([n, length, heads * headDim]);
}

/** x / ‖x‖ over the last axis. */
export function l2Normalize(x: Tensor): Tensor {
  return x.div(x.square().sum(-1, { keepDims: true }).sqrt());
}

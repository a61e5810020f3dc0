import { ShapeError } from "../../core/errors.ts";
import { callback, checkOptions, numberFrom, oneOf, type OptionKinds, wholeNumber } from "../../core/options.ts";
import { describe } from "../../engine/graph/describe.ts";
import { apply, type Tensor, tensorKind } from "../../engine/graph/tensor.ts";

/** A linear layer. Parameters are plain records: of tensors in a program, of specs (shape, initial values) before. */
export interface Linear<Leaf = Tensor> {
  /** [out, in] */
  readonly weight: Leaf;
  /** [out] */
  readonly bias: Leaf;
  /** Added to the weight. */
  readonly lora?: LowRank<Leaf>;
}

/** A matrix of low rank R as a product, up · down (LoRA, Hu et al. 2022). */
export interface LowRank<Leaf = Tensor> {
  /** [R, in] */
  readonly down: Leaf;
  /** [out, R] */
  readonly up: Leaf;
}

/** Gain and shift of a norm. */
export interface Affine<Leaf = Tensor> {
  readonly weight: Leaf;
  readonly bias: Leaf;
}

/** The two layers of a Transformer's MLP. */
export interface Mlp<Leaf = Tensor> {
  readonly fc: Linear<Leaf>;
  readonly proj: Linear<Leaf>;
}

/** Queries, keys and values from one matrix [3W, W], in that order; then the output projection. */
export interface Attention<Leaf = Tensor> {
  readonly qkv: Linear<Leaf>;
  readonly out: Linear<Leaf>;
}

/** A pre-norm Transformer block. */
export interface Block<Leaf = Tensor> {
  readonly ln1: Affine<Leaf>;
  readonly attn: Attention<Leaf>;
  readonly ln2: Affine<Leaf>;
  readonly mlp: Mlp<Leaf>;
}

/**
 * The activation of the MLPs. There is no default anywhere: the same shapes were trained with each, and the wrong one
 * only lowers accuracy.
 */
export type Activation = "quickGelu" | "gelu" | "geluTanh";

/** The settings of a block. */
export interface BlockConfig {
  readonly heads: number;
  readonly activation: Activation;
  /** ε of the layer norms; default {@link layerNormEpsilon}. */
  readonly layerNormEpsilon?: number | undefined;
}

const blockKinds: OptionKinds<BlockConfig> = {
  ...{ heads: wholeNumber(1), activation: oneOf("quickGelu", "gelu", "geluTanh"), layerNormEpsilon: numberFrom(0) },
};

/** ε of every layer norm in CLIP, inside the root. */
export const layerNormEpsilon = 1e-5;

const approximations = { quickGelu: "sigmoid", gelu: "none", geluTanh: "tanh" } as const;

/** x·Wᵀ + b over the last axis: [*, in] → [*, out]. */
export function linear({ weight, bias, lora }: Linear, x: Tensor): Tensor {
  const flat = x.reshape([-1, x.shape.at(-1)!]);
  const whole = flat.matmul(weight.T).add(bias);
  // Through the low rank, so that no gradient of the size of the weight is made.
  const rows = lora ? whole.add(flat.matmul(lora.down.T).matmul(lora.up.T)) : whole;
  return rows.reshape([...x.shape.slice(0, -1), weight.shape[0]!]);
}

/** Normalises the last axis. */
export function layerNorm({ weight, bias }: Affine, x: Tensor, epsilon = layerNormEpsilon): Tensor {
  return apply("layerNorm", [x, weight, bias], { epsilon });
}

/** The options of {@link attention} and {@link block}. */
export interface AttentionOptions {
  /** Added to the scores, which are [N, H, L, L]; [N, H, R, L] with `read`. */
  readonly mask?: Tensor | undefined;
  /** [N, L, W] → [N, R, W]: selects the tokens to compute; they attend to all. Default all. */
  readonly read?: ((tokens: Tensor) => Tensor) | undefined;
}

const attentionKinds: OptionKinds<AttentionOptions> = { mask: tensorKind, read: callback };

const readAll = (tokens: Tensor) => tokens;

/** x ← x + MSA(LN(x));  x ← x + MLP(LN(x))   (Dosovitskiy et al. 2021, eq. 2–3). [N, L, W] → [N, L, W], or [N, R, W] */
export function block(p: Block, config: BlockConfig, x: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions("block", config, blockKinds, ["heads", "activation"]);
  checkOptions("block", options, attentionKinds);
  const { read = readAll } = options;
  const { heads, activation, layerNormEpsilon: epsilon } = config;
  x = read(x).add(attention(p.attn, heads, layerNorm(p.ln1, x, epsilon), options));
  return x.add(mlp(p.mlp, activation, layerNorm(p.ln2, x, epsilon)));
}

/** Two linear layers with the activation between. */
export function mlp(p: Mlp, activation: Activation, x: Tensor): Tensor {
  return linear(p.proj, linear(p.fc, x).gelu(approximations[activation]));
}

/** Multi-head self-attention. [N, L, W] → [N, L, W], or [N, R, W] */
export function attention(p: Attention, heads: number, x: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions("attention", options, attentionKinds);
  const { mask, read = readAll } = options;
  const width = x.shape[2] as number;
  const qkv = linear(p.qkv, x);
  const [q, k, v] = [read, readAll, readAll].map((pick, i) => splitHeads(pick(qkv.slice(2, i * width, width)), heads));
  return linear(p.out, mergeHeads(attend(q!, k!, v!, mask)));
}

/**
 * Attention of learned queries to a sequence, through one matrix for queries, keys and values as in {@link attention}.
 * `queries` [1, Q, W], x [N, L, W] → [N, Q, W]
 */
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

/** softmax(q·kᵀ / √D + mask)·v over [N, H, L, D]. The scale goes to q, which is smaller than the scores. */
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

import { ShapeError } from "../../core/errors.ts";
import type { Shape } from "../../core/shape.ts";
import { float32 } from "../../core/tensor-data.ts";
import { describe } from "../graph/describe.ts";
import type { OpName, OpSignatures } from "../graph/ops.ts";
import { apply, concat, constant, conv2d, scalar, type Tensor, where } from "../graph/tensor.ts";

/** Arguments of a rule: `y = op(...x)` and `dy`, the gradient of the loss with respect to `y`. */
interface Backward<Name extends OpName> {
  readonly x: OpSignatures[Name]["inputs"];
  readonly y: Tensor;
  readonly dy: Tensor;
  readonly attrs: OpSignatures[Name]["attrs"];
}

/** One gradient per input, in order; `null` for inputs without one (integers, conditions). */
type GradientRule<Name extends OpName> = (backward: Backward<Name>) => readonly (Tensor | null)[];

const leaf = () => [];
const nothing = () => [null, null];

/** Table: op → gradients of its inputs, built from differentiable ops. */
export const gradientRules: { readonly [Name in OpName]: GradientRule<Name> } = {
  input: leaf,
  constant: leaf,
  stored: leaf,

  add: ({ x: [a, b], dy }) => [sumTo(dy, a.shape), sumTo(dy, b.shape)],
  sub: ({ x: [a, b], dy }) => [sumTo(dy, a.shape), sumTo(dy.neg(), b.shape)],
  mul: ({ x: [a, b], dy }) => [sumTo(dy.mul(b), a.shape), sumTo(dy.mul(a), b.shape)],
  // y = a / b  ⇒  da = dy / b,  db = −dy y / b
  div: ({ x: [a, b], y, dy }) => [sumTo(dy.div(b), a.shape), sumTo(dy.mul(y).div(b).neg(), b.shape)],
  neg: ({ dy }) => [dy.neg()],
  exp: ({ y, dy }) => [dy.mul(y)],
  log: ({ x: [a], dy }) => [dy.div(a)],
  sqrt: ({ y, dy }) => [dy.div(y).mul(0.5)],
  // d erf(x) / dx = 2/√π e^(−x²)
  erf: ({ x: [a], dy }) => [dy.mul(a.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  tanh: ({ y, dy }) => [dy.sub(dy.mul(y.square()))],
  sigmoid: ({ y, dy }) => [dy.mul(y.sub(y.square()))],
  leakyRelu: ({ x: [a], dy, attrs: { slope } }) => [where(a.greater(0), dy, slope === 0 ? 0 : dy.mul(slope))],
  gelu: ({ x: [a], dy, attrs: { approximation } }) => [dy.mul(geluSlope[approximation](a))],
  equal: nothing,
  greater: nothing,
  where: ({ x: [condition, a, b], dy }) => [
    null,
    sumTo(where(condition, dy, 0), a.shape),
    sumTo(where(condition, 0, dy), b.shape),
  ],
  cast: ({ x: [a], dy }) => [["float32", "float16", "bfloat16"].includes(a.dtype) ? dy.cast(a.dtype) : null],
  stopGradient: () => [null],
  recompute: ({ dy }) => [dy],

  sum: ({ x: [a], dy, attrs: { axes } }) => [
    dy.reshape(a.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim))).expand(a.shape),
  ],
  // dxᵢ = yᵢ (dyᵢ − Σⱼ dyⱼ yⱼ): the Jacobian diag(y) − y yᵀ, never materialized
  softmax: ({ y, dy, attrs: { axis } }) => [y.mul(dy.sub(dy.mul(y).sum(axis, { keepDims: true })))],
  // y = x − log Σ eˣ  ⇒  dx = dy − eʸ Σⱼ dyⱼ
  logSoftmax: ({ y, dy, attrs: { axis } }) => [dy.sub(y.exp().mul(dy.sum(axis, { keepDims: true })))],
  // y = r (x − mean), r = 1/std  ⇒  dx = r (dy − mean(dy) − y mean(dy y))
  standardize: ({ x: [a], y, dy, attrs }) => [standardizeGradient(a, y, dy, attrs)],
  // dr/dxᵢ = −r² yᵢ / n, with y the standardized x
  inverseStd: ({ x: [a], y, dy, attrs }) => [
    dy
      .mul(y.square())
      .mul(a.standardize(attrs.epsilon))
      .mul(-1 / (a.shape.at(-1) as number)),
  ],
  layerNorm: ({ x: [a, weight, bias], dy, attrs }) => {
    const standardized = a.standardize(attrs.epsilon);
    return [
      standardizeGradient(a, standardized, dy.mul(weight), attrs),
      sumTo(dy.mul(standardized), weight.shape),
      sumTo(dy, bias.shape),
    ];
  },

  // Y = A·B  ⇒  dA = dY·Bᵀ,  dB = Aᵀ·dY; if a batch shares B, one product also sums dB over the batch
  matmul: ({ x: [a, b], dy }) =>
    b.rank === 2
      ? [dy.matmul(b.T), flatten(a).T.matmul(flatten(dy))]
      : [sumTo(dy.matmul(b.T), a.shape), sumTo(a.T.matmul(dy), b.shape)],
  conv2d: ({ x: [image, kernel], dy, attrs }) => [
    convInputGradient(image.shape, kernel, dy, attrs),
    convKernelGradient(image, kernel.shape, dy, attrs),
  ],
  averagePool: ({ x: [image], dy, attrs: { size } }) => {
    const [n, channels, height, width] = dy.shape as readonly [number, number, number, number];
    // Repeat along a row by a matrix product: expanding the innermost axis copies one number at a time.
    const spread = dy
      .matmul(repeatColumns(width, size, 1 / size ** 2))
      .reshape([n, channels, height, 1, width * size])
      .expand([n, channels, height, size, width * size])
      .reshape([n, channels, height * size, width * size]);
    return [spread.pad([0, 0, 0, 0], missing(spread.shape, image.shape))];
  },

  reshape: ({ x: [a], dy }) => [dy.reshape(a.shape)],
  expand: ({ x: [a], dy }) => [sumTo(dy, a.shape)],
  transpose: ({ dy, attrs: { perm } }) => [dy.transpose(perm.map((_, axis) => perm.indexOf(axis)))],
  concat: ({ x, dy, attrs: { axis } }) => {
    let start = 0;
    return x.map(({ shape }) => {
      const size = shape[axis] as number;
      start += size;
      return dy.slice(axis, start - size, size);
    });
  },
  slice: ({ x: [a], dy, attrs: { axis, start, size, step } }) => {
    if (typeof size !== "number")
      throw new ShapeError("slice", `a slice of symbolic size, "${size}", has no gradient`, { dy: describe(dy) });
    const reached = start + (size - 1) * step + 1;
    const at = (count: number) => a.shape.map((_, i) => (i === axis ? count : 0));
    return [dy.dilate(axis, step).pad(at(start), at((a.shape[axis] as number) - reached))];
  },
  pad: ({ x: [a], dy, attrs: { before } }) => [
    before.reduce((inner, start, axis) => {
      const size = a.shape[axis]!;
      return size === inner.shape[axis] ? inner : inner.slice(axis, start, size);
    }, dy),
  ],
  dilate: ({ x: [a], dy, attrs: { axis, factor } }) => [dy.slice(axis, 0, a.shape[axis] as number, factor)],
  flip: ({ dy, attrs: { axes } }) => [dy.flip(axes)],

  gather: ({ x: [table, indices], dy }) => [
    apply("scatterAdd", [dy, indices], { rows: table.shape[0] as number }),
    null,
  ],
  topK: nothing,
  scatterAdd: ({ x: [, indices], dy }) => [dy.gather(indices), null],

  // Quantized weights are not trained.
  dequantize: nothing,
};

/** Matrix [width, width · times] that repeats each column `times` times, multiplied by `factor`. */
function repeatColumns(width: number, times: number, factor: number): Tensor {
  const columns = width * times;
  const matrix = Float32Array.from({ length: width * columns }, (_, i) =>
    Math.floor((i % columns) / times) === Math.floor(i / columns) ? factor : 0,
  );
  return constant(float32(matrix, [width, columns]));
}

/** Reverses broadcasting: sums a gradient to the shape of the broadcast operand. */
export function sumTo(dy: Tensor, shape: Shape): Tensor {
  const extra = dy.rank - shape.length;
  const axes = dy.shape.flatMap((dim, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dim !== 1) ? [axis] : [],
  );
  return axes.length === 0 ? dy : dy.sum(axes).reshape(shape);
}

function standardizeGradient(x: Tensor, y: Tensor, dy: Tensor, attrs: { readonly epsilon: number }): Tensor {
  const mean = dy.mean(-1, { keepDims: true });
  const projection = y.mul(dy.mul(y).mean(-1, { keepDims: true }));
  const centred = dy.sub(mean).sub(projection);
  return centred.mul(apply("inverseStd", [x], attrs));
}

/** The standard normal density at 0. */
const normalDensity = 1 / Math.sqrt(2 * Math.PI);

/** d gelu(x) / dx for each formula. */
const geluSlope = {
  // Φ(x) + x φ(x)
  none: (x: Tensor) => {
    const cumulative = x.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
    const density = x.square().mul(-0.5).exp().mul(normalDensity);
    return cumulative.add(x.mul(density));
  },
  // s (1 + k x (1 − s)), s = sigmoid(k x)
  sigmoid: (x: Tensor) => {
    const scaled = x.mul(1.702);
    const s = scaled.sigmoid();
    return s.mul(scaled.mul(scalar(1).sub(s)).add(1));
  },
  // ½ (1 + t) + ½ x (1 − t²) u′, t = tanh(u), u = √(2/π) (x + 0.044715 x³)
  tanh: (x: Tensor) => {
    const c = Math.sqrt(2 / Math.PI);
    const square = x.square();
    const t = x.mul(square.mul(0.044715 * c).add(c)).tanh();
    const slope = square.mul(3 * 0.044715 * c).add(c);
    return t
      .add(1)
      .add(x.mul(slope).mul(scalar(1).sub(t.square())))
      .mul(0.5);
  },
};

function flatten(x: Tensor): Tensor {
  return x.reshape([-1, x.shape.at(-1)!]);
}

/** Zeros to append so that `shape` reaches `wanted`. */
function missing(shape: Shape, wanted: Shape): number[] {
  return wanted.map((dim, axis) => (dim === shape[axis] ? 0 : (dim as number) - (shape[axis] as number)));
}

type Conv = OpSignatures["conv2d"]["attrs"];

/**
 * The transposed convolution. Pixels `stride` apart use the same kernel elements, so each of the stride² phases has its
 * own small kernel, M × M. One convolution computes all phases as channels, which are then interleaved. With i +
 * padding = q · stride + r: dx[i] = Σₘ dy[q − m] w[m · stride + r].
 */
function convInputGradient(image: Shape, kernel: Tensor, dy: Tensor, { stride, padding }: Conv): Tensor {
  const [outputs, channels, kernelHeight, kernelWidth] = kernel.shape as readonly [number, number, number, number];
  const [rows, columns] = [kernelHeight, kernelWidth].map((size) => Math.ceil(size / stride)) as [number, number];
  const whole = kernel.pad([0, 0, 0, 0], [0, 0, rows * stride - kernelHeight, columns * stride - kernelWidth]);
  const sorted = whole
    .reshape([outputs, channels, rows, stride, columns, stride])
    .transpose([1, 3, 5, 0, 2, 4])
    .reshape([channels * stride * stride, outputs, rows, columns]);
  const turned = rows * columns === 1 ? sorted : sorted.flip([2, 3]);

  const first = Math.floor(padding / stride); // the q of the first pixel
  const before = [rows, columns].map((size) => size - 1 - first) as [number, number];
  const after = [2, 3].map(
    (axis) => Math.ceil(((image[axis] as number) + padding) / stride) - (dy.shape[axis] as number),
  ) as [number, number];
  const even = [before[1], ...after].every((border) => border === before[0]);
  const border = [
    [0, 0, ...before],
    [0, 0, ...after],
  ] as const;
  const dealt =
    rows * columns === 1
      ? // The border may be added after a 1 × 1 convolution; ONNX Runtime's WebGPU kernel ignores one added before.
        conv2d(dy, turned).pad(...border)
      : even
        ? conv2d(dy, turned, { padding: before[0] })
        : conv2d(dy.pad(...border), turned);

  const [height, width] = dealt.shape.slice(2) as [number, number];
  return dealt
    .reshape([image[0]!, channels, stride, stride, height, width])
    .transpose([0, 1, 4, 2, 5, 3])
    .reshape([image[0]!, channels, height * stride, width * stride])
    .slice(2, padding - first * stride, image[2] as number)
    .slice(3, padding - first * stride, image[3] as number);
}

/**
 * Products of the incoming gradient with the pixels seen by each kernel element: a single matrix product if windows do
 * not overlap, else one per kernel element.
 */
function convKernelGradient(image: Tensor, kernel: Shape, dy: Tensor, { stride, padding }: Conv): Tensor {
  const [outputs, channels, kernelHeight, kernelWidth] = kernel as readonly [number, number, number, number];
  const [height, width] = dy.shape.slice(2) as [number, number];
  const padded = image.pad([0, 0, padding, padding], [0, 0, padding, padding]);
  if (stride === kernelHeight && stride === kernelWidth) {
    const windows = padded
      .slice(2, 0, height * stride)
      .slice(3, 0, width * stride)
      .reshape([dy.shape[0]!, channels, height, stride, width, stride])
      .transpose([0, 2, 4, 1, 3, 5])
      .reshape([-1, channels * stride * stride]);
    const rows = dy.transpose([0, 2, 3, 1]).reshape([-1, outputs]);
    return rows.T.matmul(windows).reshape(kernel);
  }
  const rows = dy.transpose([1, 0, 2, 3]).reshape([outputs, -1]);
  const products: Tensor[] = [];
  for (let y = 0; y < kernelHeight; y++) {
    for (let x = 0; x < kernelWidth; x++) {
      const met = padded.slice(2, y, height, stride).slice(3, x, width, stride);
      const columns = met.transpose([1, 0, 2, 3]).reshape([channels, -1]);
      products.push(rows.matmul(columns.T).reshape([outputs, channels, 1]));
    }
  }
  return concat(products, 2).reshape(kernel);
}

/**
 * One size of a shape: a number, or a symbol (`"batch"`) whose value is known when the graph runs. Products, which
 * reshapes create, have one canonical form (`"50*batch"`), so equal sizes are equal strings.
 */
export type Dim = number | string;

/** The sizes of a tensor, outermost first. */
export type Shape = readonly Dim[];

/** True for a single symbol, false for numbers and products. */
export function isSymbol(dim: Dim): boolean {
  return typeof dim === "string" && /^[A-Za-z_]\w*$/.test(dim);
}

/** Product of sizes; a number if none is symbolic. */
export function product(dims: Shape): Dim {
  let factor = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    if (typeof dim === "number") factor *= dim;
    else {
      const { factor: inner, symbols: names } = parseDim(dim);
      factor *= inner;
      symbols.push(...names);
    }
  }
  return formatDim(factor, symbols);
}

/** Splits a size into its factor and symbols: `"50*batch"` is 50 times batch. */
export function parseDim(dim: Dim): { factor: number; symbols: string[] } {
  if (typeof dim === "number") return { factor: dim, symbols: [] };
  const parts = dim.split("*");
  const factor = Number(parts[0]);
  return Number.isNaN(factor) ? { factor: 1, symbols: parts } : { factor, symbols: parts.slice(1) };
}

function formatDim(factor: number, symbols: readonly string[]): Dim {
  if (factor === 0 || symbols.length === 0) return factor;
  return [...(factor === 1 ? [] : [String(factor)]), ...[...symbols].sort()].join("*");
}

/** `total / part`; undefined unless it is an integer and the symbols of `part` cancel. */
export function divideDims(total: Dim, part: Dim): Dim | undefined {
  const [a, b] = [parseDim(total), parseDim(part)];
  const symbols = [...a.symbols];
  for (const symbol of b.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) return undefined;
    symbols.splice(at, 1);
  }
  const factor = a.factor / b.factor;
  return Number.isInteger(factor) ? formatDim(factor, symbols) : undefined;
}

/** Result shape under NumPy's broadcasting rules; undefined if the shapes are incompatible. */
export function broadcastShapes(...shapes: readonly Shape[]): Shape | undefined {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    let size: Dim = 1;
    for (const shape of shapes) {
      const dim = shape[axis - rank + shape.length] ?? 1;
      if (dim === size || dim === 1) continue;
      if (size !== 1) return undefined;
      size = dim;
    }
    result.push(size);
  }
  return result;
}

/** Axis counted from the front; a negative one counts from the back. Undefined if out of range. */
export function normalizeAxis(axis: number, rank: number): number | undefined {
  const fromFront = axis < 0 ? axis + rank : axis;
  return Number.isInteger(axis) && fromFront >= 0 && fromFront < rank ? fromFront : undefined;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

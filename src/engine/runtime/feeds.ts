import { sizeOf } from "../../core/shape.ts";
import { ClipError } from "../../core/errors.ts";
import { checkKind, type Kind, record } from "../../core/options.ts";
import type { OnnxModel } from "../onnx/build.ts";
import type { NamedTensors } from "./ort-session.ts";

/**
 * Checks the feeds of a program and reports all problems at once.
 *
 * @throws {ClipError} `CLIP_USAGE` if a feed is missing, unknown, or of the wrong dtype or shape.
 */
export function checkFeeds(inputs: OnnxModel["inputs"], feeds: NamedTensors): void {
  checkKind("the feeds", feeds, record);
  for (const [name, feed] of Object.entries(feeds))
    if (feed !== undefined) checkKind(`the feed "${name}"`, feed, tensorKind);
  const known = new Set(inputs.map(({ name }) => name));
  const problems = [
    ...inputs.filter(({ name }) => !feeds[name]).map(({ name }) => `"${name}" is missing`),
    ...Object.keys(feeds)
      .filter((name) => !known.has(name))
      .map((name) => `"${name}" is not an input`),
  ];
  const sizes = new Map<string, number>();
  for (const { name, dtype, shape } of inputs) {
    const feed = feeds[name];
    if (!feed) continue;
    const fits =
      feed.dtype === dtype &&
      feed.shape.length === shape.length &&
      shape.every((dim, axis) => {
        const size = feed.shape[axis]!;
        if (typeof dim === "number") return dim === size;
        if (!sizes.has(dim)) sizes.set(dim, size);
        return sizes.get(dim) === size;
      });
    const elements = sizeOf(feed.shape);
    if (!fits)
      problems.push(`"${name}" must be ${dtype} [${shape.join(", ")}], got ${feed.dtype} [${feed.shape.join(", ")}]`);
    else if (feed.data.length !== elements)
      problems.push(`"${name}" [${feed.shape.join(", ")}] needs ${elements} elements, got ${feed.data.length}`);
  }
  if (problems.length > 0)
    throw new ClipError("CLIP_USAGE", `the feeds do not fit the program: ${problems.join("; ")}`);
}

const tensorKind: Kind = {
  wanted: "a tensor: float32(data, shape) or { dtype, shape, data }",
  fits: (value) =>
    record.fits(value) &&
    "shape" in (value as object) &&
    Array.isArray((value as NamedTensors[string]).shape) &&
    "data" in (value as object),
};

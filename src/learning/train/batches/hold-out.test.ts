import { describe, expect, it } from "vitest";
import { holdOut } from "./hold-out.ts";
import type { Sample } from "../../../inputs/data/sources/samples.ts";

/** So many images of each class. */
const classes = (...counts: readonly number[]): Sample[] =>
  counts.flatMap((count, label) =>
    Array.from({ length: count }, (_, i) => ({
      image: `/${label}/${i}.png`,
      captions: [`a class ${label}`, `class ${label}`],
    })),
  );
const mixed = (...sources: readonly Sample[][]) => ({
  samples: sources.flat(),
  skipped: [],
  mixture: sources.map(({ length }) => ({ count: length, weight: 1 })),
});
const ofClass = (samples: readonly Sample[], label: number) =>
  samples.filter(({ image }) => image.startsWith(`/${label}/`)).length;

describe("holdOut", () => {
  it("keeps of each class its share, of captions that stand alone their share of all, and every image once", () => {
    const captions = Array.from({ length: 50 }, (_, i) => ({
      image: `/captioned/${i}.png`,
      captions: [`caption ${i}`],
    }));
    const pairs = mixed([...classes(100, 20, 10), ...captions]);
    const { train, heldOut } = holdOut(pairs, 0.2, 1);
    expect(heldOut).toHaveLength(36);
    expect([0, 1, 2].map((label) => ofClass(heldOut, label))).toEqual([20, 4, 2]);
    const images = [...train.samples, ...heldOut].map(({ image }) => image);
    expect(new Set(images)).toEqual(new Set(pairs.samples.map(({ image }) => image)));
    expect(images).toHaveLength(pairs.samples.length);
  });

  it("draws others by another seed, and the same by the same", () => {
    const held = (seed: number) => holdOut(mixed(classes(30, 30)), 0.2, seed).heldOut;
    expect(held(1)).toEqual(held(1));
    expect(held(2)).not.toEqual(held(1));
  });

  it("parts no rows of one image, and counts anew what each source has", () => {
    const rows = Array.from({ length: 40 }, (_, i) => ({ image: `/${Math.floor(i / 4)}.png`, captions: [`row ${i}`] }));
    const { train, heldOut } = holdOut(mixed(rows, classes(20)), 0.3, 5);
    expect(heldOut).toHaveLength(4 * 3 + 6);
    const held = new Set(heldOut.map(({ image }) => image));
    expect(train.samples.filter(({ image }) => held.has(image))).toEqual([]);
    expect(train.mixture?.map(({ count }) => count)).toEqual([28, 14]);
  });

  it("refuses a share that is not one image", () => {
    expect(() => holdOut(mixed(classes(4)), 0.2, 1)).toThrow(
      "a share of 0.2 of 4 images is less than one image; raise validationShare, add images, or set validation to another source",
    );
  });
});

import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import sharp from "sharp";
import { describe, expect, it } from "vitest";

import { Random } from "../../src/core/random.ts";
import { renderBlend } from "./blends.ts";
import { captionsOf, ConceptIndex, skinTone } from "./captions.ts";
import { namingArtists, readIconSet, spaced, testArtist, trainingArtists } from "./drawings.ts";
import { recolour } from "./redraw.ts";
import { composeScene } from "./scenes.ts";

const sets = trainingArtists.map(readIconSet);
const drawings = sets.flatMap((set) => set.drawings);
const concepts = new ConceptIndex(sets);
const drawingOf = (artist: string, name: string) =>
  drawings.find((drawing) => drawing.artist === artist && drawing.name === name)!;

describe("the drawings", () => {
  it("are as many as the rule of the test says", () => {
    expect(sets.map((set) => set.drawings.length)).toEqual([1769, 3174, 1409, 1262, 1034, 787]);
  });

  const labelsFile = resolve("../shared/data/pictograms/labels.json");
  it.skipIf(!existsSync(labelsFile))(
    "of the test artist carry the recorded labels, in their order (needs ../shared)",
    () => {
      const naming = namingArtists.flatMap((artist) => readIconSet(artist).drawings);
      const names = new Set(naming.map(({ name }) => name));
      const labels = readIconSet(testArtist)
        .drawings.filter(({ name }) => names.has(name))
        .map(({ name }) => spaced(name));
      expect(labels).toEqual(JSON.parse(readFileSync(labelsFile, "utf8")));
    },
  );
});

describe("ConceptIndex", () => {
  it("puts what artists call differently together", () => {
    expect(concepts.keyOf(drawingOf("emojione", "crying-cat-face"))).toBe(
      concepts.keyOf(drawingOf("noto", "crying-cat")),
    );
  });

  it("knows a name that a set writes in one word", () => {
    expect(concepts.keyOf(drawingOf("fxemoji", "beermug"))).toBe(concepts.keyOf(drawingOf("noto", "beer-mug")));
  });

  it("never takes two drawings of one artist for the same thing, but for skin tones", () => {
    for (const set of sets) {
      const plain = set.drawings.filter(({ name }) => skinTone(name) === undefined);
      expect(new Set(plain.map((drawing) => concepts.keyOf(drawing))).size).toBe(plain.length);
    }
  });

  it("does not take a traffic light for a skin tone", () => {
    expect(skinTone("horizontal-traffic-light")).toBeUndefined();
    expect(skinTone("waving-hand-medium-dark")).toBe("medium dark");
    expect(skinTone("man-elf-tone5")).toBe("dark");
  });
});

describe("renderBlend", () => {
  it("goes from one version to the other across a straight edge, and is opaque where both are", async () => {
    const filled = (colour: string) => ({ body: `<rect width="8" height="8" fill="${colour}"/>`, side: 8 });
    const folder = await mkdtemp(join(tmpdir(), "clip-ts-blend-"));
    const file = join(folder, "blend.png");
    await renderBlend([filled("#f00"), filled("#00f")], 32, new Random(1), file);
    const pixels = await sharp(file).raw().toBuffer();
    await rm(folder, { recursive: true });
    const reds: number[] = [];
    for (let i = 0; i < pixels.length; i += 4) {
      expect(pixels[i + 3]).toBe(255);
      expect(Math.abs(pixels[i]! + pixels[i + 2]! - 255)).toBeLessThanOrEqual(1);
      reds.push(pixels[i]!);
    }
    expect(Math.max(...reds) - Math.min(...reds)).toBeGreaterThan(100);
  });
});

describe("captionsOf", () => {
  it("gives names, templates and keywords of the concept", () => {
    const drawing = drawingOf("noto", "nerd-face");
    const captions = captionsOf(concepts.concept(concepts.keyOf(drawing), drawing.name), undefined, new Random(1));
    expect(captions.filter((caption) => caption === "nerd face")).toHaveLength(6);
    expect(captions.filter((caption) => /^\w+ .*nerd face$/.test(caption))).toHaveLength(3);
    expect(captions.filter((caption) => caption.split(", ").length === 3)).toHaveLength(1);
  });
});

describe("recolour", () => {
  const hue = (colour: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)) as [number, number, number];
    return (Math.atan2(Math.sqrt(3) * (g - b), 2 * r - g - b) * 180) / Math.PI;
  };

  // Rounding to whole levels turns a vivid colour by less than 1.5 degrees; adding light and clipping turned yellow by 12.
  it("keeps the hue", () => {
    const random = new Random(3);
    for (const colour of ["#ffdd67", "#c02010", "#2060e0", "#30a040"]) {
      for (let i = 0; i < 50; i++) {
        const changed = recolour(colour, random.uniform(0.6, 1.6), random.uniform(-0.2, 0.2));
        expect(Math.abs(hue(changed) - hue(colour)), `${colour} became ${changed}`).toBeLessThan(1.5);
      }
    }
  });
});

describe("composeScene", () => {
  it("says only what holds", () => {
    const actors = ["cat", "dog", "star", "house"].map((name) => ({ file: "", name }));
    const seed = 7;
    for (let i = 0; i < 100; i++) {
      const scene = composeScene(actors, new Random(seed, i));
      const placeOf = (name: string) => scene.places[scene.actors.findIndex((actor) => actor.name === name)]!;
      for (const caption of scene.captions) {
        const [, one, relation, other] =
          /^(\w+) (to the left of|to the right of|above|below|under) (\w+)$/.exec(caption) ?? [];
        if (relation === undefined) continue;
        const [a, b] = [placeOf(one!), placeOf(other!)];
        const gap = {
          "to the left of": b.x - a.x,
          "to the right of": a.x - b.x,
          above: b.y - a.y,
          below: a.y - b.y,
          under: a.y - b.y,
        }[relation]!;
        expect(gap, `seed ${seed}, scene ${i}: ${caption}`).toBeGreaterThan(0.3);
      }
    }
  });
});

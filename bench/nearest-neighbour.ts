/**
 * What no learning gives on the pictogram test: each test drawing gets the name of the training drawing that looks
 * most alike by coarse colours and histograms of oriented gradients.
 *
 *   npx tsx bench/nearest-neighbour.ts
 */
import sharp from "sharp";

import {
  namingArtists,
  readIconSet,
  spaced,
  testArtist,
  trainingArtists,
  type Drawing,
} from "../scripts/pictograms/drawings.ts";
import { svgDocument } from "../scripts/pictograms/redraw.ts";

const size = 64;
const colourCells = 16;
const gradientCells = 8;
const orientations = 9;

const drawingsOf = (artists: readonly (typeof trainingArtists)[number][]) =>
  artists.flatMap((artist) => readIconSet(artist).drawings);
const names = new Set(drawingsOf(namingArtists).map(({ name }) => name));
const test = readIconSet(testArtist).drawings.filter(({ name }) => names.has(name));
const testFeatures = await describeAll(test);

for (const artists of [namingArtists, trainingArtists]) {
  // One set writes names in one word.
  const asWritten = new Map(test.map(({ name }) => [name.replaceAll("-", ""), name]));
  const candidates = drawingsOf(artists).flatMap((drawing) => {
    const name = asWritten.get(drawing.name.replaceAll("-", ""));
    return name === undefined ? [] : [{ ...drawing, name }];
  });
  report(artists, candidates, await describeAll(candidates));
}

function report(
  artists: readonly string[],
  candidates: readonly Drawing[],
  candidateFeatures: readonly Float32Array[],
): void {
  let [first, firstFive] = [0, 0];
  test.forEach(({ name }, i) => {
    const best = new Map<string, number>();
    candidates.forEach((candidate, j) => {
      const similarity = dot(testFeatures[i]!, candidateFeatures[j]!);
      if (similarity > (best.get(candidate.name) ?? -1)) best.set(candidate.name, similarity);
    });
    const own = best.get(name)!;
    const better = [...best.values()].filter((similarity) => similarity > own).length;
    if (better < 1) first++;
    if (better < 5) firstFive++;
  });
  const percent = (count: number) => `${((100 * count) / test.length).toFixed(1)} %`;
  console.log(
    `nearest neighbour, ${candidates.length} drawings by ${artists.join(", ")} → ${test.length} drawings by ${testArtist}, ` +
      `${new Set(test.map(({ name }) => spaced(name))).size} names: top-1 ${percent(first)}, top-5 ${percent(firstFive)}`,
  );
}

async function describeAll(drawings: readonly Drawing[]): Promise<Float32Array[]> {
  const features: Float32Array[] = [];
  for (const drawing of drawings) {
    const image = sharp(Buffer.from(svgDocument(drawing, drawing.body, size))).flatten({ background: "white" });
    features.push(describe(await image.removeAlpha().raw().toBuffer()));
  }
  return features;
}

/** Colours and gradients, each of unit length, so that both count alike. */
function describe(rgb: Uint8Array): Float32Array {
  const colours = unit(colourGrid(rgb));
  const gradients = unit(orientedGradients(rgb));
  return unit(Float32Array.from([...colours, ...gradients]));
}

/** Mean darkness of each channel in 16 × 16 cells: white, the ground, is zero. */
function colourGrid(rgb: Uint8Array): Float32Array {
  const grid = new Float32Array(colourCells * colourCells * 3);
  const cell = size / colourCells;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const at = (Math.floor(y / cell) * colourCells + Math.floor(x / cell)) * 3;
      for (let channel = 0; channel < 3; channel++) grid[at + channel]! += 1 - rgb[(y * size + x) * 3 + channel]! / 255;
    }
  }
  return grid;
}

/** Dalal and Triggs 2005: per cell a histogram of edge directions (without sign), normalised over 2 × 2 cells. */
function orientedGradients(rgb: Uint8Array): Float32Array {
  const grey = Float32Array.from(
    { length: size * size },
    (_, i) => 0.299 * rgb[3 * i]! + 0.587 * rgb[3 * i + 1]! + 0.114 * rgb[3 * i + 2]!,
  );
  const cells = new Float32Array(gradientCells * gradientCells * orientations);
  const cell = size / gradientCells;
  for (let y = 1; y < size - 1; y++) {
    for (let x = 1; x < size - 1; x++) {
      const dx = grey[y * size + x + 1]! - grey[y * size + x - 1]!;
      const dy = grey[(y + 1) * size + x]! - grey[(y - 1) * size + x]!;
      const direction = ((Math.atan2(dy, dx) / Math.PI + 1) % 1) * orientations;
      const lower = Math.floor(direction);
      const at = (Math.floor(y / cell) * gradientCells + Math.floor(x / cell)) * orientations;
      const length = Math.hypot(dx, dy);
      cells[at + (lower % orientations)]! += length * (1 - (direction - lower));
      cells[at + ((lower + 1) % orientations)]! += length * (direction - lower);
    }
  }
  const blocks: number[] = [];
  for (let y = 0; y + 1 < gradientCells; y++) {
    for (let x = 0; x + 1 < gradientCells; x++) {
      const corners = [
        y * gradientCells + x,
        y * gradientCells + x + 1,
        (y + 1) * gradientCells + x,
        (y + 1) * gradientCells + x + 1,
      ];
      const block = corners.flatMap((corner) => [
        ...cells.subarray(corner * orientations, (corner + 1) * orientations),
      ]);
      blocks.push(...unit(Float32Array.from(block)).map((value) => Math.min(value, 0.2)));
    }
  }
  return Float32Array.from(blocks);
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((value) => value / length);
}

function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i]! * other[i]!;
  return sum;
}

import sharp from "sharp";

import type { Random } from "../../src/core/random.ts";

/** A drawing to place: its file and what it is called. */
export interface Actor {
  readonly file: string;
  readonly name: string;
}

export interface Scene {
  readonly actors: readonly Actor[];
  /** Centre and side of each actor, as shares of the image. */
  readonly places: readonly { readonly x: number; readonly y: number; readonly side: number }[];
  /** True sentences, said in different ways. */
  readonly captions: readonly string[];
}

type Arrangement = (random: Random) => { places: [number, number][]; side: number; sentences: readonly string[] };

/** Where two or three actors stand, and what can then be said of A, B and C. */
const arrangements: readonly Arrangement[] = [
  (random) => ({
    places: [
      [0.26, random.uniform(0.35, 0.65)],
      [0.74, random.uniform(0.35, 0.65)],
    ],
    side: 0.46,
    sentences: ["{A} to the left of {B}", "{B} to the right of {A}", "{A} and {B}", "{A} beside {B}"],
  }),
  (random) => ({
    places: [
      [random.uniform(0.35, 0.65), 0.26],
      [random.uniform(0.35, 0.65), 0.74],
    ],
    side: 0.46,
    sentences: ["{A} above {B}", "{B} below {A}", "{A} and {B}", "{B} under {A}"],
  }),
  (random) => ({
    places: [
      [0.18, 0.5],
      [0.5, random.uniform(0.4, 0.6)],
      [0.82, 0.5],
    ],
    side: 0.32,
    sentences: ["{B} between {A} and {C}", "{A}, {B} and {C}", "{A}, {B} and {C} in a row"],
  }),
];

/** Two or three different actors at random, arranged so that the captions hold. */
export function composeScene(actors: readonly Actor[], random: Random): Scene {
  const { places, side, sentences } = arrangements[random.integer(arrangements.length)]!(random);
  const chosen: Actor[] = [];
  while (chosen.length < places.length) {
    const actor = actors[random.integer(actors.length)]!;
    if (!chosen.some(({ name }) => name === actor.name)) chosen.push(actor);
  }
  const fill = (sentence: string) =>
    sentence.replace(/\{([ABC])\}/g, (_, letter: string) => chosen["ABC".indexOf(letter)]!.name);
  return {
    actors: chosen,
    places: places.map(([x, y]) => ({ x, y, side: side * random.uniform(0.85, 1.05) })),
    captions: sentences.map(fill),
  };
}

/** Renders a scene from its actors' files, on a transparent ground. */
export async function renderScene({ actors, places }: Scene, size: number, out: string): Promise<void> {
  const layers = await Promise.all(
    actors.map(async ({ file }, i) => {
      const { x, y, side } = places[i]!;
      const pixels = Math.round(side * size);
      const clamp = (centre: number) => Math.min(size - pixels, Math.max(0, Math.round(centre * size - pixels / 2)));
      return { input: await sharp(file).resize(pixels).png().toBuffer(), left: clamp(x), top: clamp(y) };
    }),
  );
  const ground = { width: size, height: size, channels: 4 as const, background: { r: 0, g: 0, b: 0, alpha: 0 } };
  await sharp({ create: ground }).composite(layers).png().toFile(out);
}

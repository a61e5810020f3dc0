import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** The artists whose names say what there is to draw: the test's labels are theirs. */
export const namingArtists = ["noto", "fluent-emoji-flat", "emojione"] as const;

/** The artists whose drawings are trained on; of the others', those that show what a naming artist draws. */
export const trainingArtists = [...namingArtists, "noto-v1", "fxemoji", "streamline-emojis"] as const;

/** The artist of the test: never trained on, nor used to choose anything. */
export const testArtist = "twemoji";

export type Artist = (typeof trainingArtists)[number] | typeof testArtist;

export interface Drawing {
  readonly artist: Artist;
  /** The icon's name in its set: lower case, words joined by hyphens. */
  readonly name: string;
  /** What stands between `<svg>` and `</svg>`. */
  readonly body: string;
  /** Side of the drawing's square, in its own units. */
  readonly side: number;
}

export interface IconSet {
  readonly drawings: readonly Drawing[];
  /** Other names of a drawing → its name; drawings that are turned or mirrored are not meant. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Code points in hexadecimal ("1f408-200d-2b1b") → name; empty where the set has none. */
  readonly characters: ReadonlyMap<string, string>;
}

/** Skin tones repeat a drawing; the sets name flags too differently to compare. The test's rule leaves both out. */
const leftOut = /skin-tone|flag-for-flag/;

const require = createRequire(import.meta.url);

/** Reads a JSON file of an installed package. The packages' versions are pinned, so their shape is known. */
export function readPackageJson<T>(path: string): T {
  return JSON.parse(readFileSync(require.resolve(path), "utf8")) as T;
}

/** One artist's drawings, in the order of their file. */
export function readIconSet(artist: Artist): IconSet {
  interface IconFile {
    icons: Record<string, { body: string }>;
    aliases?: Record<string, { parent: string; hFlip?: boolean; vFlip?: boolean; rotate?: number }>;
    width: number;
  }
  const file = readPackageJson<IconFile>(`@iconify-json/${artist}/icons.json`);
  const characters = readPackageJson<Record<string, string>>(`@iconify-json/${artist}/chars.json`);
  return {
    drawings: Object.entries(file.icons)
      .filter(([name]) => !leftOut.test(name))
      .map(([name, { body }]) => ({ artist, name, body, side: file.width })),
    aliases: new Map(
      Object.entries(file.aliases ?? {})
        .filter(([, { hFlip, vFlip, rotate }]) => !hFlip && !vFlip && !rotate)
        .map(([alias, { parent }]) => [alias, parent]),
    ),
    characters: new Map(Object.entries(characters)),
  };
}

/** The name as words: "cat-face" → "cat face". */
export function spaced(name: string): string {
  return name.replaceAll("-", " ");
}

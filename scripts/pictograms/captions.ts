import type { Random } from "../../src/core/random.ts";
import { readPackageJson, spaced, type Artist, type Drawing, type IconSet } from "./drawings.ts";

/** What the drawings of several artists have in common. */
export interface Concept {
  /** As the first artist who draws it calls it. */
  readonly name: string;
  /** All names, the first artist's first: icon names, aliases, the label of CLDR. */
  readonly names: readonly string[];
  /** Keywords of CLDR. */
  readonly keywords: readonly string[];
}

/** Around a name: half of what a model is asked comes in a sentence. */
export const templates = [
  "a drawing of {}",
  "a picture of {}",
  "an icon of {}",
  "a photo of {}",
  "a drawing of a {}",
  "a picture of a {}",
  "an icon of a {}",
  "a photo of a {}",
  "an emoji of a {}",
  "a {}",
  "the {}",
  "clip art of a {}",
] as const;

/** Sorts the drawings of several artists by what they show, with the help of aliases, code points and CLDR's labels. */
export class ConceptIndex {
  readonly #parent = new Map<string, string>();
  readonly #artists = new Map<string, Set<Artist>>();
  readonly #emoji = new Map<string, Emoji>();
  readonly #names = new Map<string, Set<string>>();

  constructor(sets: readonly IconSet[]) {
    for (const { artist, name } of sets.flatMap((set) => set.drawings)) this.#artistsOf(plainName(name)).add(artist);

    const emoji = readPackageJson<Emoji[]>("emojibase-data/en/data.json");
    const labels = new Map<string, Emoji[]>();
    for (const entry of emoji) {
      const label = plainName(hyphenated(entry.label));
      labels.set(label, [...(labels.get(label) ?? []), entry]);
    }
    const codes = new Set(emoji.map(({ hexcode }) => codeKey(hexcode)));
    for (const [code, name] of sets.flatMap((set) => [...set.characters])) {
      if (codes.has(codeKey(code))) this.#join(plainName(name), codeKey(code));
    }
    for (const [label, entries] of labels) if (entries.length === 1) this.#join(label, codeKey(entries[0]!.hexcode));
    for (const [alias, name] of sets.flatMap((set) => [...set.aliases])) this.#join(plainName(alias), plainName(name));
    // One set writes all its names in one word.
    const words = [...this.#parent.keys()].filter((name) => name.includes("-") && !isCode(name));
    for (const name of words) {
      const inOneWord = name.replaceAll("-", "");
      if (this.#parent.has(inOneWord)) this.#join(inOneWord, name);
    }

    for (const entry of emoji) this.#emoji.set(this.#root(codeKey(entry.hexcode)), entry);
    for (const name of this.#parent.keys()) {
      if (isCode(name)) continue;
      const root = this.#root(name);
      this.#names.set(root, (this.#names.get(root) ?? new Set()).add(name));
    }
  }

  /** A key that all drawings of the same thing share. */
  keyOf(drawing: Drawing): string {
    return this.#root(plainName(drawing.name));
  }

  /** The concept under `key`, called `name` first. */
  concept(key: string, name: string): Concept {
    const first = plainName(name);
    const others = [...(this.#names.get(key) ?? [])].filter((other) => other !== first).sort();
    return {
      name: spaced(first),
      names: [first, ...others].map(spaced),
      keywords: this.#emoji.get(key)?.tags ?? [],
    };
  }

  #root(name: string): string {
    let root = name;
    for (;;) {
      const parent = this.#parent.get(root);
      if (parent === undefined || parent === root) return root;
      root = parent;
    }
  }

  #artistsOf(name: string): Set<Artist> {
    const artists = this.#artists.get(name) ?? new Set();
    this.#artists.set(name, artists);
    if (!this.#parent.has(name)) this.#parent.set(name, name);
    return artists;
  }

  /** Two names are one concept, unless an artist draws both: then they must differ. */
  #join(name: string, other: string): void {
    for (const one of [name, other]) this.#artistsOf(one);
    const [from, to] = [this.#root(name), this.#root(other)];
    const [fewer, more] = [this.#artistsOf(from), this.#artistsOf(to)];
    if (from === to || [...fewer].some((artist) => more.has(artist))) return;
    this.#parent.set(from, to);
    for (const artist of fewer) more.add(artist);
  }
}

/**
 * What a drawing may be called: six plain names, three names in templates, one list of keywords. The list is the same
 * for every drawing of a concept.
 */
export function captionsOf(concept: Concept, tone: string | undefined, random: Random): string[] {
  const named = (index: number) => {
    const name = concept.names[index % concept.names.length]!;
    return tone !== undefined && index % 2 === 1 ? `${name} with ${tone} skin` : name;
  };
  const sentence = (index: number) => templates[random.integer(templates.length)]!.replace("{}", named(index));
  const keywords = random.permutation(concept.keywords.length).subarray(0, 3);
  return [
    ...Array.from({ length: 6 }, (_, i) => named(i)),
    ...Array.from({ length: 3 }, (_, i) => sentence(i)),
    keywords.length === 3 ? Array.from(keywords, (k) => concept.keywords[k]!).join(", ") : named(6),
  ];
}

/** The skin tone that a name ends with, in words, or nothing for the plain drawing. */
export function skinTone(name: string): string | undefined {
  const ending = toneEnding.exec(name)?.[1];
  return ending === undefined ? undefined : spaced(/\d/.test(ending) ? tones[Number(ending.at(-1)) - 1]! : ending);
}

const tones = ["light", "medium-light", "medium", "medium-dark", "dark"];

/** "waving-hand-dark" or "waving-hand-tone5", but no traffic light. */
const toneEnding = /(?<!traffic|car)-(tone[1-5]|medium-light|medium-dark|light|medium|dark)$/;

interface Emoji {
  readonly label: string;
  readonly hexcode: string;
  readonly tags?: readonly string[];
}

/** Without what sets differ in: skin tone, and one set's way of naming flags. */
function plainName(name: string): string {
  return name.replace(toneEnding, "").replace(/^flag-for-(flag-)?/, "flag-");
}

function hyphenated(label: string): string {
  const letters = label.normalize("NFD").replace(/[\u0300-\u036f’']/g, "");
  return letters
    .toLowerCase()
    .replaceAll("&", "and")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}

/** Code points without the selector that asks for a coloured image. */
function codeKey(hexcode: string): string {
  return `code:${hexcode.toLowerCase().replaceAll("-fe0f", "")}`;
}

function isCode(name: string): boolean {
  return name.startsWith("code:");
}

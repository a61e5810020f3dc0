import { ClipError } from "../../core/errors.ts";
import { splitLines } from "../../core/text-file.ts";
import { type ClassLabel, namesOf } from "../../model/zero-shot/prompts.ts";
import { areNumbers, type LabelledImages } from "../../inputs/data/labelled-images.ts";

/** Images whose classes are called as texts shall have it. */
export interface NamedImages extends Pick<LabelledImages, "samples"> {
  readonly classes: readonly ClassLabel[];
  /** What the data call each class. */
  readonly own: readonly string[];
}

/** What stands between several names of a class. */
const separator = "|";

/**
 * The lines of a file with the names of classes. A blank line is not passed over: what stands below would get another class's number.
 *
 * @param file - where they stand, for the message.
 * @throws {ClipError} `CLIP_DATA` if there is none, or one is blank.
 */
export function classLines(text: string, file: string): string[] {
  const lines = splitLines(text.trimEnd());
  const blank = lines.findIndex((line) => line.trim() === "");
  if (lines.length === 1 && blank === 0)
    throw new ClipError("CLIP_DATA", `${file} is empty; it must have a line for each class`);
  if (blank >= 0)
    throw new ClipError(
      "CLIP_DATA",
      `${file}, line ${blank + 1} is blank: is a name missing, or is it not meant to count? All below it would be another class`,
    );
  return lines;
}

/** What a line calls a class: one name, or several, separated by `|`. */
export function classLabel(line: string): ClassLabel {
  const names = line.split(separator).map((name) => name.trim());
  return names.length === 1 ? names[0]! : names;
}

/**
 * The same images, their classes named as texts shall have it.
 *
 * @param lines - a class each, as {@link classLabel} reads it. With a tab in each, the class as the data have it and its names, of as many
 *   classes as one likes. Else names alone, and all of them are then classes, even those without an image: they are found by the names
 *   that the data have, or by number where the data's classes are whole numbers, counted from 0. Where neither fits they are those of the
 *   data's classes in their order.
 * @param file - where they stand, for the message.
 * @param trustOrder - whether the order of the data's classes is one that names can be given by. Default: always.
 * @throws {ClipError} `CLIP_DATA` if a class has no name, or more than one reading gives it different ones.
 */
export function nameClasses(
  { classes, samples }: Pick<LabelledImages, "classes" | "samples">,
  lines: readonly string[],
  file: string,
  trustOrder: (classes: readonly string[]) => boolean = () => true,
): NamedImages {
  if (lines.every((line) => line.includes("\t"))) {
    const names = new Map(lines.map((line) => line.split("\t", 2) as [string, string]));
    const missing = classes.find((name) => !names.has(name));
    if (missing !== undefined)
      throw new ClipError("CLIP_DATA", `${file} has no line for the class ${JSON.stringify(missing)}`);
    return { classes: classes.map((name) => classLabel(names.get(name)!)), own: classes, samples };
  }
  const named = lines.map(classLabel);
  const [byName, byNumber] = [placesByName(classes, named), placesByNumber(classes, named.length)];
  if (byName && byNumber) assertAgreement(classes, byName, byNumber, file);
  const places = byName ?? byNumber;
  if (places) {
    const own = named.map(
      (label, place) => classes[places.indexOf(place)] ?? (byName ? namesOf(label)[0]! : `${place}`),
    );
    return { classes: named, own, samples: samples.map((sample) => ({ ...sample, label: places[sample.label]! })) };
  }
  if (areNumbers(classes) && !byNumber)
    throw new ClipError(
      "CLIP_DATA",
      `${file} names ${lines.length} classes, counted from 0; the data have class ${classes.at(-1)}`,
    );
  const some = classes.slice(0, 5).join(", ");
  const wayOut = "write the data's class, a tab and its name in every line";
  if (lines.length !== classes.length)
    throw new ClipError(
      "CLIP_DATA",
      `${file} names ${lines.length} classes, the data have ${classes.length} (${some}, …); give a line to each, or ${wayOut}`,
    );
  if (!trustOrder(classes))
    throw new ClipError(
      "CLIP_DATA",
      `${file} does not have the names that the data's classes have (${some}, …), and their order says nothing; ${wayOut}`,
    );
  return { classes: named, own: classes, samples };
}

/** ImageNet's classes as WordNet numbers them; in the order of the numbers they are published everywhere. */
export function areWordNetIds(classes: readonly string[]): boolean {
  return classes.every((name) => /^n\d{8}$/.test(name));
}

/** The place of each class among names, if each is the name of one and no other. */
function placesByName(classes: readonly string[], named: readonly ClassLabel[]): number[] | undefined {
  const places = new Map<string, number>();
  named.forEach((label, place) => {
    for (const name of new Set(namesOf(label).map(plain))) places.set(name, places.has(name) ? NaN : place);
  });
  const found = classes.map((name) => places.get(plain(name)) ?? NaN);
  return found.some(Number.isNaN) ? undefined : found;
}

/** Without what folders cannot say. */
const plain = (name: string) => name.replaceAll("_", " ").toLowerCase();

function placesByNumber(classes: readonly string[], count: number): number[] | undefined {
  const numbers = classes.map(Number);
  return areNumbers(classes) && numbers.every((number) => number < count) ? numbers : undefined;
}

/** Digits may be names or numbers of lines: CLEVR's counts stand in the order 10, 3, 4, … */
function assertAgreement(
  classes: readonly string[],
  byName: readonly number[],
  byNumber: readonly number[],
  file: string,
): void {
  const i = byName.findIndex((place, i) => place !== byNumber[i]);
  if (i < 0) return;
  throw new ClipError(
    "CLIP_DATA",
    `the class ${classes[i]} is a name of ${file} in line ${byName[i]! + 1}, and as a number, counted from 0, line ${byNumber[i]! + 1}; ` +
      "write the data's class, a tab and its name in every line",
  );
}

import { ClipError } from "../../core/errors.ts";
import { splitLines } from "../../core/text-file.ts";
import { type ClassLabel, namesOf } from "../../model/zero-shot/prompts.ts";
import { areNumbers, type LabelledImages } from "../../inputs/data/labelled-images.ts";

/** Labelled images with class names for prompts. */
export interface NamedImages extends Pick<LabelledImages, "samples"> {
  readonly classes: readonly ClassLabel[];
  /** Name of each class in the data. */
  readonly own: readonly string[];
}

/** Separator between names of a class. */
const separator = "|";
const wayOut = "write the data's class, a tab and its name in every line";

/**
 * Splits a file of class names into lines. Blank lines are errors, since skipping them would renumber the classes below.
 *
 * @param file - for messages.
 * @throws {ClipError} `CLIP_DATA` if the file is empty or a line is blank.
 */
export function classLines(text: string, file: string): string[] {
  const lines = splitLines(text.trimEnd());
  const blank = lines.findIndex((line) => line.trim() === "");
  if (blank < 0) return lines;
  const problem =
    lines.length === 1
      ? `${file} is empty; it must have a line for each class`
      : `${file}, line ${blank + 1} is blank, so the classes below it are ambiguous; add the name or remove the line`;
  throw new ClipError("CLIP_DATA", problem);
}

/** Parses a line with one name of a class, or several, separated by `|`. */
export function classLabel(line: string): ClassLabel {
  const names = line.split(separator).map((name) => name.trim());
  return names.length === 1 ? names[0]! : names;
}

/**
 * Assigns names to the classes of images.
 *
 * @param lines - one class per line, see {@link classLabel}. If all lines have a tab: the data's class, a tab, its names. Else only
 *   names, which are matched with the data's classes by name, then by number (from 0) if the data's classes are integers, then by
 *   order. Matched by name or number, classes without images are kept too.
 * @param file - for messages.
 * @param trustOrder - whether names may be assigned by order. Default: always.
 * @throws {ClipError} `CLIP_DATA` if a class has no name, or name and number disagree.
 */
export function nameClasses(
  { classes, samples }: Pick<LabelledImages, "classes" | "samples">,
  lines: readonly string[],
  file: string,
  trustOrder: (classes: readonly string[]) => boolean = () => true,
): NamedImages {
  const refuseIf = (isWrong: boolean, problem: string) => {
    if (isWrong) throw new ClipError("CLIP_DATA", `${file} ${problem}`);
  };
  if (lines.every((line) => line.includes("\t"))) {
    const names = new Map(lines.map((line) => line.split("\t", 2) as [string, string]));
    const missing = classes.find((name) => !names.has(name));
    refuseIf(missing !== undefined, `has no line for the class ${JSON.stringify(missing)}`);
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
  const count = lines.length;
  const isTooFew = areNumbers(classes) && !byNumber;
  refuseIf(isTooFew, `has ${count} classes, counted from 0, but the data have class ${classes.at(-1)}`);
  const some = classes.slice(0, 5).join(", ");
  refuseIf(
    count !== classes.length,
    `has ${count} classes, but the data have ${classes.length} (${some}, …); write a line for each, or ${wayOut}`,
  );
  refuseIf(
    !trustOrder(classes),
    `does not contain the names of the data's classes (${some}, …), and their order is arbitrary; ${wayOut}`,
  );
  return { classes: named, own: classes, samples };
}

/** Whether classes are WordNet ids, as ImageNet's folders are; ImageNet's class names are always published in their order. */
export function areWordNetIds(classes: readonly string[]): boolean {
  return classes.every((name) => /^n\d{8}$/.test(name));
}

/** Index of each class among `named`, if each matches exactly one. */
function placesByName(classes: readonly string[], named: readonly ClassLabel[]): number[] | undefined {
  const places = new Map<string, number>();
  named.forEach((label, place) => {
    for (const name of new Set(namesOf(label).map(plain))) places.set(name, places.has(name) ? NaN : place);
  });
  const found = classes.map((name) => places.get(plain(name)) ?? NaN);
  return found.some(Number.isNaN) ? undefined : found;
}

/** Ignores differences that folder names cannot express. */
const plain = (name: string) => name.replaceAll("_", " ").toLowerCase();

function placesByNumber(classes: readonly string[], count: number): number[] | undefined {
  const numbers = classes.map(Number);
  return areNumbers(classes) && numbers.every((number) => number < count) ? numbers : undefined;
}

/** Digits may be names or line numbers, as in CLEVR, whose counts are in the order 10, 3, 4, … */
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
    `the class ${classes[i]} is ambiguous in ${file}: by name line ${byName[i]! + 1}, by number, counted from 0, line ${byNumber[i]! + 1}; ${wayOut}`,
  );
}

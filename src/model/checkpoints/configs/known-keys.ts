import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";

/** What becomes of keys that are in no table. */
export interface OtherKeys {
  /** Keys that do not change what is computed. */
  readonly harmless: RegExp;
  /**
   * `refused` unless they are switched off (false or empty): for formats whose own readers refuse or use them. `ignored`, as
   * their own readers do, unless they look like a misspelt key.
   */
  readonly others: "refused" | "ignored";
}

/**
 * An object of another project's configuration in which every key is accounted for: those of the shape are read, harmless
 * ones dropped, and the rest is treated as {@link OtherKeys} says. Null is the same as a missing key. For `parseStrict`.
 */
export function accountedObject<Shape extends z.ZodRawShape>(shape: Shape, other: OtherKeys) {
  return z.preprocess((value) => withoutHarmless(value, Object.keys(shape), other), z.strictObject(shape));
}

function withoutHarmless(value: unknown, known: readonly string[], { harmless, others }: OtherKeys): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const counts = (key: string, inner: unknown): boolean => {
    if (inner === null) return false;
    if (known.includes(key)) return true;
    if (isOff(inner) || harmless.test(key)) return false;
    return others === "refused" || isMisspelt(key, known);
  };
  return Object.fromEntries(Object.entries(value).filter(([key, inner]) => counts(key, inner)));
}

function isOff(value: unknown): boolean {
  const isEmpty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return value === false || value === "" || isEmpty;
}

function isMisspelt(key: string, known: readonly string[]): boolean {
  return key.length > 4 && distance(key.toLowerCase(), closest(key.toLowerCase(), known)) <= 2;
}

/** A key that must not be set: with the reason why. */
export function unsupported(reason: string) {
  return z.never(reason).optional();
}

/** A feature that is off unless it is named, and has to stay so. */
export const off = z.literal(false, "is not supported").optional();

/** A value that is written in several ways; undefined from `read` is none of them. */
export function writtenAs<Value>(read: (value: unknown) => Value | undefined, wanted: string) {
  return z.unknown().transform((value, context): Value => {
    const found = read(value);
    if (found !== undefined) return found;
    context.addIssue(`must be ${wanted}, not ${JSON.stringify(value).slice(0, 60)}`);
    return z.NEVER;
  });
}

/** One number, or the same twice: as a list, or as height and width. */
export function sideOf(value: unknown): number | undefined {
  if (Number.isInteger(value) && (value as number) > 0 && (value as number) <= 8_192) return value as number;
  if (typeof value !== "object" || value === null) return undefined;
  const { height, width, ...rest } = value as Readonly<Record<string, unknown>>;
  const pair: readonly unknown[] = Array.isArray(value) ? value : Object.keys(rest).length === 0 ? [height, width] : [];
  return pair.length === 2 && pair[0] === pair[1] && typeof pair[0] === "number" ? sideOf(pair[0]) : undefined;
}

/** The side of a square in pixels. */
export const side = writtenAs(sideOf, "the side of a square in pixels");

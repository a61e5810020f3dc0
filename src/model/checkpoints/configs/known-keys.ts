import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";

/** Treatment of keys outside the schema. */
export interface OtherKeys {
  /** Keys that do not affect the result. */
  readonly harmless: RegExp;
  /**
   * `refused`: an error unless false or empty, for formats whose readers use or refuse unknown keys. `ignored`: an error only if
   * they look like a misspelt key, for formats whose readers ignore them.
   */
  readonly others: "refused" | "ignored";
}

/**
 * Schema for an object in another library's configuration: keys of `shape` are read, harmless ones dropped, and others treated
 * according to {@link OtherKeys}. Null equals a missing key. For `parseStrict`.
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

/** A key that must not be set, with the reason as message. */
export function unsupported(reason: string) {
  return z.never(reason).optional();
}

/** A flag that must be false or missing. */
export const off = z.literal(false, "is not supported").optional();

/** A value with several notations; `read` returns undefined for an invalid one. */
export function writtenAs<Value>(read: (value: unknown) => Value | undefined, wanted: string) {
  return z.unknown().transform((value, context): Value => {
    const found = read(value);
    if (found !== undefined) return found;
    context.addIssue(`must be ${wanted}, not ${JSON.stringify(value).slice(0, 60)}`);
    return z.NEVER;
  });
}

/** The side of a square from a number, a pair of equal numbers, or equal height and width. */
export function sideOf(value: unknown): number | undefined {
  if (Number.isInteger(value) && (value as number) > 0 && (value as number) <= 8_192) return value as number;
  if (typeof value !== "object" || value === null) return undefined;
  const { height, width, ...rest } = value as Readonly<Record<string, unknown>>;
  const pair: readonly unknown[] = Array.isArray(value) ? value : Object.keys(rest).length === 0 ? [height, width] : [];
  return pair.length === 2 && pair[0] === pair[1] && typeof pair[0] === "number" ? sideOf(pair[0]) : undefined;
}

/** The side of a square in pixels. */
export const side = writtenAs(sideOf, "the side of a square in pixels");

import { ClipError } from "./errors.ts";
import { suggestion } from "./nearest.ts";

/** A kind of value, for checks at run time: plain JavaScript programs have no types. */
export interface Kind {
  /** Description in a message: "a whole number of at least 1". */
  readonly wanted: string;
  readonly fits: (value: unknown) => boolean;
  /** A string given in its place is probably a single item. */
  readonly isList?: true;
}

/** The kind of each option; a missing one does not compile. */
export type OptionKinds<Options> = { readonly [Key in keyof Options]-?: Kind };

export const flag: Kind = { wanted: "true or false", fits: (value) => typeof value === "boolean" };
export const text: Kind = { wanted: "a string", fits: (value) => typeof value === "string" };
export const callback: Kind = { wanted: "a function", fits: (value) => typeof value === "function" };
export const record: Kind = { wanted: "an object", fits: isRecord };
export const abortSignal: Kind = {
  wanted: "an AbortSignal",
  // No instanceof: a page, a worker and a test runner each have their own class.
  fits: (value) => isRecord(value) && typeof value["aborted"] === "boolean" && "addEventListener" in value,
};

export const wholeNumber = (least: number, most = Number.MAX_SAFE_INTEGER): Kind => ({
  wanted: `a whole number ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`,
  fits: (value) => Number.isSafeInteger(value) && least <= (value as number) && (value as number) <= most,
});
export const number: Kind = { wanted: "a number", fits: (value) => typeof value === "number" && !Number.isNaN(value) };
export const numberFrom = (least: number, most = Infinity): Kind => ({
  wanted: most === Infinity ? `a number of at least ${least}` : `a number from ${least} to ${most}`,
  fits: (value) => typeof value === "number" && least <= value && value <= most,
});
export const oneOf = (...values: readonly unknown[]): Kind => ({
  wanted: values.map((value) => JSON.stringify(value)).join(" or "),
  fits: (value) => values.includes(value),
});
export const listOf = ({ wanted, fits }: Kind): Kind => ({
  wanted: `a list, each ${wanted}`,
  fits: (value) => Array.isArray(value) && value.every(fits),
  isList: true,
});
export const either = (a: Kind, b: Kind): Kind => ({
  wanted: `${a.wanted}, or ${b.wanted}`,
  fits: (value) => a.fits(value) || b.fits(value),
});
/** A list, iterable or async iterable; the items are not checked. */
export const sourceOf = (items: string): Kind => ({
  wanted: `a list of ${items}`,
  fits: (value) =>
    isObject(value) && !ArrayBuffer.isView(value) && (Symbol.iterator in value || Symbol.asyncIterator in value),
  isList: true,
});

/**
 * Refuses unknown options, suggesting the nearest known one, and values of the wrong kind.
 *
 * @param of - owner of the options, for the message.
 * @throws {ClipError} `CLIP_USAGE`
 */
export function checkOptions<Options extends object>(
  of: string,
  options: Options,
  kinds: OptionKinds<Options>,
  required: readonly (keyof Options & string)[] = [],
): void {
  checkKind(`${of}: the options`, options, record);
  for (const name in options) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (!kind)
      throw new ClipError("CLIP_USAGE", `${of}: unknown option "${name}"${suggestion(name, Object.keys(kinds))}`);
    if (options[name] !== undefined) checkKind(`${of}: ${name}`, options[name], kind);
  }
  for (const name of required) {
    if (options[name] === undefined)
      throw new ClipError("CLIP_USAGE", `${of}: ${name} is missing; it must be ${kinds[name].wanted}`);
  }
}

/** @throws {ClipError} `CLIP_USAGE` if the value is of another kind. */
export function checkKind(name: string, value: unknown, { wanted, fits, isList }: Kind): void {
  if (fits(value)) return;
  const hint = isList && typeof value === "string" ? "; wrap it in [ ]" : "";
  throw new ClipError("CLIP_USAGE", `${name} must be ${wanted}, got ${describeValue(value)}${hint}`);
}

/** Kinds without those of the named options. */
export function withoutKinds<Kinds extends object, Name extends keyof Kinds>(kinds: Kinds, ...names: readonly Name[]) {
  const rest = Object.entries(kinds).filter(([name]) => !names.includes(name as Name));
  return Object.fromEntries(rest) as Omit<Kinds, Name>;
}

export function pickOptions<Options extends object>(options: Options, kinds: OptionKinds<Options>): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => name in kinds)) as Options;
}

const maxShown = 60;

function describeValue(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > maxShown ? `${value.slice(0, maxShown)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if ("then" in value && typeof value.then === "function") return "a Promise: await it first";
  if (Array.isArray(value)) {
    const wrong: unknown = value.find((item) => typeof item !== "string");
    return wrong === undefined || Array.isArray(wrong) ? "a list" : `a list that contains ${describeValue(wrong)}`;
  }
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== "Object" && name !== "" ? `a value of class ${name}` : "an object";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return isObject(value) && !Array.isArray(value);
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

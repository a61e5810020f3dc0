import { z } from "zod";
import { ClipError } from "./errors.ts";
import { readText } from "./files.ts";
import { maxConfigBytes } from "./limits.ts";
import { cut, listed } from "./listing.ts";
import { suggestion } from "./nearest.ts";

/**
 * Parses a value with a schema; one error lists all problems, with the nearest known key for each unknown one.
 *
 * @param schema - built from `z.strictObject`, so that a misspelt key is an error and not a silent default.
 * @param where - source of the value for the message, such as a file path.
 * @throws {ClipError} `CLIP_CONFIG`
 */
export function parseStrict<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, maxProblems).flatMap((issue) => explain(schema, issue));
  throw new ClipError("CLIP_CONFIG", `${where} is invalid\n  ${listed(problems, maxProblems).join("\n  ")}`);
}

const maxProblems = 50;

/**
 * Reads a JSON file and parses it with {@link parseStrict}.
 *
 * @throws {ClipError} `CLIP_FILE` if the file does not exist or exceeds `maxBytes`, `CLIP_CONFIG` if it is not JSON or
 *   does not fit the schema.
 */
export async function readJson<Schema extends z.ZodType>(
  schema: Schema,
  path: string,
  maxBytes = maxConfigBytes,
): Promise<z.output<Schema>> {
  const text = await readText(path, maxBytes);
  if (isNestedTooDeeply(text))
    throw new ClipError("CLIP_CONFIG", `${path} nests values more than ${maxNesting} deep; no model file does`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ClipError("CLIP_CONFIG", `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  return parseStrict(schema, value, path);
}

/** Nesting limit of objects and arrays; recursion through more could overflow the stack. */
const maxNesting = 100;

function isNestedTooDeeply(json: string): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const character = json.charCodeAt(i);
    if (inString) {
      if (character === backslash) i++;
      else if (character === quote) inString = false;
    } else if (character === quote) inString = true;
    else if (character === openBrace || character === openBracket) {
      if (++depth > maxNesting) return true;
    } else if (character === closeBrace || character === closeBracket) depth--;
  }
  return false;
}

const [quote, backslash] = [0x22, 0x5c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

function explain(schema: z.ZodType, issue: z.core.$ZodIssue): string[] {
  const at = cut(formatPath(issue.path));
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, issue.path);
    return issue.keys
      .slice(0, maxProblems + 1)
      .map((key) => `${cut(formatPath([...issue.path, key]))} is unknown${suggestion(key.slice(0, 100), known)}`);
  }
  if (issue.input === undefined) {
    if (issue.code === "invalid_type" || issue.code === "invalid_union") return [`${at} is missing`];
    if (issue.code === "invalid_value") return [`${at} is missing; it is one of ${issue.values.join(", ")}`];
  }
  if (issue.code === "invalid_value" && typeof issue.input === "string") {
    const known = issue.values.map(String);
    return [`${at}: "${cut(issue.input)}" is unknown${suggestion(issue.input.slice(0, 100), known)}`];
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const meant = meantAlternative(issue);
    return meant.flatMap((inner) => explain(schema, { ...inner, path: [...issue.path, ...inner.path] }));
  }
  return [`${at}: ${issue.message}`];
}

/** Problems by the closest alternative of a union: the one that accepts this kind of value. */
function meantAlternative({ errors, input }: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] {
  const isInside = ({ code, path }: z.core.$ZodIssue) => path.length > 0 || code === "unrecognized_keys";
  const inside = errors.find((issues) => issues.every(isInside));
  const named = typeof input === "string" && errors.find(([issue]) => issue?.code === "invalid_value");
  return inside ?? (named || errors.flat());
}

/** Keys allowed in an object at this path, over all alternatives. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const [step, ...rest] = path;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return keysAt(schema.unwrap() as z.ZodType, path);
  if (schema instanceof z.ZodPipe) return keysAt(schema.out as z.ZodType, path);
  if (schema instanceof z.ZodUnion)
    return [...new Set(schema.options.flatMap((option) => keysAt(option as z.ZodType, path)))];
  if (schema instanceof z.ZodArray) return keysAt(schema.element as z.ZodType, rest);
  if (schema instanceof z.ZodRecord) return keysAt(schema.valueType as z.ZodType, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  if (step === undefined) return Object.keys(schema.shape);
  const child = (schema.shape as Readonly<Record<string, z.ZodType>>)[String(step)];
  return child ? keysAt(child, rest) : [];
}

function formatPath(path: readonly PropertyKey[]): string {
  return path.length === 0 ? "it" : path.map(String).join(".");
}

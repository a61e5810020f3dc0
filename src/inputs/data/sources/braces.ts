import { ClipError } from "../../../core/errors.ts";

const maxNames = 1_000_000;

/**
 * Expands braces as a shell does: ranges such as `a-{000..099}.tar`, with the digits of the first number, and lists such as
 * `{x,y}.tar`. Other braces are part of a name.
 *
 * @throws {ClipError} `CLIP_DATA` if there are more than a million names.
 */
export function expandBraces(pattern: string): string[] {
  const found = /\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}/.exec(pattern);
  if (!found) return [pattern];
  const [braces, from, to, list] = found;
  const before = pattern.slice(0, found.index);
  const alternatives = list === undefined ? countUp(pattern, from!, to!) : list.split(",");
  const rest = expandBraces(pattern.slice(found.index + braces.length));
  if (alternatives.length * rest.length > maxNames) throw tooMany(pattern);
  return alternatives.flatMap((name) => rest.map((end) => `${before}${name}${end}`));
}

function countUp(pattern: string, from: string, to: string): string[] {
  const count = Number(to) - Number(from) + 1;
  if (count > maxNames) throw tooMany(pattern);
  if (count < 1) throw new ClipError("CLIP_DATA", `${pattern}: {${from}..${to}} counts downwards`);
  return Array.from({ length: count }, (_, i) => String(Number(from) + i).padStart(from.length, "0"));
}

function tooMany(pattern: string): ClipError {
  return new ClipError("CLIP_DATA", `${pattern} stands for more than ${maxNames} names`);
}

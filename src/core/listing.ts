import { printable } from "./printable.ts";

/** What a name in a message may have at most. */
const maxCharacters = 200;

/** A name as a message has it: what comes from a file may be of any length, and hold line ends. */
export function cut(name: string): string {
  return name.length <= maxCharacters
    ? printable(name)
    : `${printable(name.slice(0, maxCharacters))}… (${name.length} characters)`;
}

/** The first of many things, and how many more there are: a file may be wrong in any number of places. */
export function listed(things: Iterable<string>, most = 20): string[] {
  const all = [...things];
  const rest = all.length - most;
  return [...all.slice(0, most).map(cut), ...(rest > 0 ? [`and ${rest} more`] : [])];
}

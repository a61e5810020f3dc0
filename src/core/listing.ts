import { printable } from "./printable.ts";

/** Longest name shown in full in a message. */
const maxCharacters = 200;

/** Makes a name safe for a message: names from files may be very long or contain line breaks. */
export function cut(name: string): string {
  return name.length <= maxCharacters
    ? printable(name)
    : `${printable(name.slice(0, maxCharacters))}… (${name.length} characters)`;
}

/** The first `most` things, followed by the number of the others. */
export function listed(things: Iterable<string>, most = 20): string[] {
  const all = [...things];
  const rest = all.length - most;
  return [...all.slice(0, most).map(cut), ...(rest > 0 ? [`and ${rest} more`] : [])];
}

import { closest, distance } from "fastest-levenshtein";

/** The known name that was probably meant, as the end of a message; else all of them. */
export function suggestion(name: string, known: readonly string[]): string {
  if (known.length === 0) return "";
  const nearest = closest(name, known);
  return distance(name.toLowerCase(), nearest.toLowerCase()) <= Math.max(2, name.length / 3)
    ? `; did you mean "${nearest}"?`
    : `; known are ${known.join(", ")}`;
}

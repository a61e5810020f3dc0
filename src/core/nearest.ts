import { closest, distance } from "fastest-levenshtein";

/** End of a message: the known name that was probably meant, or all known names. */
export function suggestion(name: string, known: readonly string[]): string {
  if (known.length === 0) return "";
  const nearest = closest(name, known);
  return distance(name.toLowerCase(), nearest.toLowerCase()) <= Math.max(2, name.length / 3)
    ? `; did you mean "${nearest}"?`
    : `; known: ${known.join(", ")}`;
}

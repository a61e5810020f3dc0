/** Patterns of names on one side and on the other; `*` stands for one part of a name, without dots. */
export type PatternPair = readonly [from: string, to: string | null];

/**
 * A function that takes a name by the first pattern that it matches to the other side: null if the table says that
 * nothing stands there, undefined if no pattern matches.
 */
export function translator(table: Iterable<PatternPair>): (name: string) => string | null | undefined {
  const rules = Array.from(table, ([from, to]) => {
    const parts = from.split("*").map((part) => part.replaceAll(/[.\\^$+?()[\]{}|]/g, "\\$&"));
    return { pattern: new RegExp(`^${parts.join("([^.]+)")}$`), to };
  });
  return (name) => {
    for (const { pattern, to } of rules) {
      const match = pattern.exec(name);
      if (!match) continue;
      let star = 1;
      return to?.replaceAll("*", () => match[star++]!) ?? null;
    }
    return undefined;
  };
}

/** Which slice of a parameter a file tensor holds. */
export interface Part {
  /** Which rows (of the first axis) of the parameter it has, as shares of them: from, to, of how many. */
  readonly rows: readonly [from: number, to: number, of: number];
  /** Rows and columns are exchanged. */
  readonly transposed: boolean;
  /** Axes of size 1 that the file has in front. */
  readonly leadingOnes: number;
}

/** Where in a model a tensor of a file belongs. */
export interface Placement extends Part {
  /** Of the parameter. */
  readonly path: string;
}

/** A tensor of a file that a parameter, or a part of it, becomes. */
export interface Naming extends Part {
  readonly name: string;
}

/**
 * Names of a layout, as patterns, and ours. `*` stands for one part of a name, the same on both sides, in order; `null` for
 * what we have no use for. Behind our path `ᵀ` says that the file has rows and columns exchanged, `¹` that it has one more
 * axis, of size 1, in front, `[1:3/3]` that it has the second and the last third of our rows, `[0/3]` the first.
 */
export type NameTable = Readonly<Record<string, string | null>>;

interface Rule extends Part {
  readonly theirs: string;
  readonly ours: string;
}

/** Both directions of a table. A name is translated by the first pattern that it matches. */
export function translator(table: NameTable) {
  const rules = Object.entries(table).map(([theirs, target]) => parseRule(theirs, target));
  const forwards = rules.map((rule) => ({ pattern: toRegExp(rule.theirs), rule }));
  const backwards = rules.flatMap((rule) => (rule.ours === null ? [] : [{ pattern: toRegExp(rule.ours), rule }]));
  return {
    /** Null if the table says that nothing stands there, undefined if no pattern matches. */
    toOurs(name: string): Placement | null | undefined {
      for (const { pattern, rule } of forwards) {
        const match = pattern.exec(name);
        if (match) return rule.ours === null ? null : { path: fill(rule.ours, match), ...partOf(rule) };
      }
      return undefined;
    },
    /** The tensors that a parameter is made of, in order; none if the layout has no place for it. */
    fromOurs(path: string): Naming[] {
      const found: Naming[] = [];
      for (const { pattern, rule } of backwards) {
        const match = pattern.exec(path);
        const [, done, of] = found.at(-1)?.rows ?? [0, 0, 0];
        if (match && (found.length === 0 || done < of)) found.push({ name: fill(rule.theirs, match), ...partOf(rule) });
      }
      return found;
    },
  };
}

function partOf({ rows, transposed, leadingOnes }: Part): Part {
  return { rows, transposed, leadingOnes };
}

function parseRule(theirs: string, target: string | null): Rule | (Part & { theirs: string; ours: null }) {
  const match = /^([^ᵀ¹[]*)(ᵀ)?(¹*)(?:\[(\d)(?::(\d))?\/(\d)\])?$/.exec(target ?? "");
  if (!match) throw new Error(`a table of names has ${String(target)}`);
  const [, path, side, ones, from = "0", to = String(Number(from) + 1), of = "1"] = match;
  return {
    theirs,
    ours: target === null ? null : path!,
    rows: [Number(from), Number(to), Number(of)],
    transposed: side !== undefined,
    leadingOnes: ones!.length,
  };
}

function toRegExp(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.\\^$+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join("([^.]+)")}$`);
}

function fill(pattern: string, match: RegExpExecArray): string {
  let star = 1;
  return pattern.replaceAll("*", () => match[star++]!);
}

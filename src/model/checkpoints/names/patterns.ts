/** Which slice of a parameter a file tensor holds. */
export interface Part {
  /** Its rows of the parameter, as fractions of the first axis: from/of to to/of. */
  readonly rows: readonly [from: number, to: number, of: number];
  /** Stored transposed. */
  readonly transposed: boolean;
  /** Number of extra leading axes of size 1 in the file. */
  readonly leadingOnes: number;
}

/** The place of a file tensor in the model. */
export interface TensorPlacement extends Part {
  /** The parameter's path. */
  readonly path: string;
}

/** The name of a file tensor that holds a parameter or a slice of it. */
export interface Naming extends Part {
  readonly name: string;
}

/**
 * Maps name patterns of a layout to our paths; `null` marks tensors that are not needed. `*` matches one part of a name, in the
 * same order on both sides. Suffixes of our path:
 * - `ᵀ`: the file stores it transposed;
 * - `¹`: the file has an extra leading axis of size 1;
 * - `[0/3]`, `[1:3/3]`: the file tensor holds the first third, or the other two thirds, of our rows.
 */
export type NameTable = Readonly<Record<string, string | null>>;

interface Rule extends Part {
  readonly theirs: string;
  readonly ours: string;
}

/** Translates names in both directions, by the first matching pattern. */
export function translator(table: NameTable) {
  const rules = Object.entries(table).map(([theirs, target]) => parseRule(theirs, target));
  const forwards = rules.map((rule) => ({ pattern: toRegExp(rule.theirs), rule }));
  const backwards = rules.flatMap((rule) => (rule.ours === null ? [] : [{ pattern: toRegExp(rule.ours), rule }]));
  return {
    /** Null if the tensor is not needed, undefined if no pattern matches. */
    toOurs(name: string): TensorPlacement | null | undefined {
      for (const { pattern, rule } of forwards) {
        const match = pattern.exec(name);
        if (match) return rule.ours === null ? null : { path: fill(rule.ours, match), ...partOf(rule) };
      }
      return undefined;
    },
    /** The file tensors that make up a parameter, in order; none if the layout cannot hold it. */
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

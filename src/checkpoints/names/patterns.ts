/** Where in a model a tensor of a file belongs. */
export interface Placement {
  /** Of the parameter. */
  readonly path: string;
  /** Which of the equal parts of the parameter's first axis it is. */
  readonly part: number;
  readonly parts: number;
  /** Rows and columns are exchanged. */
  readonly transposed: boolean;
}

/**
 * Names of a layout, as patterns, and ours. `*` stands for one part of a name, the same on both sides, in order; `null` for
 * what we have no use for. Behind our path `ᵀ` says that the file has rows and columns exchanged, `[1/3]` that it is the
 * second of three tensors that follow each other in our parameter.
 */
export type NameTable = Readonly<Record<string, string | null>>;

interface Rule {
  readonly theirs: string;
  readonly ours: string;
  readonly placement: Omit<Placement, "path">;
}

/** Both directions of a table. A name is translated by the first pattern that it matches. */
export function translator(table: NameTable) {
  const rules = Object.entries(table).map(([theirs, target]) => ({ theirs, ...parseTarget(target) }));
  const forwards = rules.map((rule) => ({ pattern: toRegExp(rule.theirs), rule }));
  const known = rules.filter((rule): rule is Rule => rule.ours !== null);
  const backwards = known.map((rule) => ({ pattern: toRegExp(rule.ours), rule }));
  return {
    /** Null if the table says that nothing stands there, undefined if no pattern matches. */
    toOurs(name: string): Placement | null | undefined {
      for (const { pattern, rule } of forwards) {
        const match = pattern.exec(name);
        if (match) return rule.ours === null ? null : { path: fill(rule.ours, match), ...rule.placement };
      }
      return undefined;
    },
    /** Names of the tensors that a parameter is made of, in order; none if the layout has no place for it. */
    fromOurs(path: string): string[] {
      const found: string[] = [];
      for (const { pattern, rule } of backwards) {
        const match = pattern.exec(path);
        if (match && found.length < rule.placement.parts) found.push(fill(rule.theirs, match));
      }
      return found;
    },
  };
}

function parseTarget(target: string | null) {
  const match = /^([^ᵀ[]*)(ᵀ)?(?:\[(\d)\/(\d)\])?$/.exec(target ?? "")!;
  const [, path, side, part = "0", parts = "1"] = match;
  return {
    ours: target === null ? null : path!,
    placement: { part: Number(part), parts: Number(parts), transposed: side !== undefined },
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

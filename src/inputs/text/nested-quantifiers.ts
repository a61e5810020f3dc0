/**
 * True if a regular expression repeats a group that varies in length or has alternatives, such as `(a+)+` and
 * `(a|aa)*`. Backtracking through those can take forever; no published tokenizer needs one.
 */
export function hasNestedQuantifiers(pattern: string): boolean {
  /** For the whole and each open group: true if it varies. */
  const varies = [false];
  let closed = false;
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i]!;
    const quantifier = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(pattern.slice(i, i + 30))?.[0];
    if (quantifier !== undefined) {
      if (closed && quantifier !== "?" && !/^\{[01]?(?:,1)?\}$/.test(quantifier)) return true;
      if (!/^\{\d+\}$/.test(quantifier)) varies[varies.length - 1] = true;
      i += quantifier.length - 1;
      closed = false;
      continue;
    }
    closed = false;
    if (character === "\\") i++;
    else if (character === "[") i = endOfClass(pattern, i);
    else if (character === "|") varies[varies.length - 1] = true;
    else if (character === "(") {
      varies.push(false);
      // The `?` after an opening bracket is not a quantifier.
      if (pattern[i + 1] === "?") i++;
    } else if (character === ")" && varies.length > 1) {
      closed = varies.pop()!;
      if (closed) varies[varies.length - 1] = true;
    }
  }
  return false;
}

function endOfClass(pattern: string, start: number): number {
  let depth = 0;
  for (let i = start; i < pattern.length; i++) {
    if (pattern[i] === "\\") i++;
    else if (pattern[i] === "[") depth++;
    else if (pattern[i] === "]" && --depth === 0) return i;
  }
  return pattern.length;
}

import { assert } from "../../core/errors.ts";

/**
 * Chooses points of long curves to draw: the first, the last, and the minimum and maximum of every column in many equal stretches,
 * so that no spike is lost. NaN is never an extreme.
 *
 * @param columns - curves of equal length over the same steps.
 * @param limit - maximum number of points, at least 2 plus 2 per column.
 * @returns ascending indices; all of them if there are at most `limit`.
 */
export function thinOut(columns: readonly (readonly number[])[], limit = 2000): number[] {
  const length = columns[0]?.length ?? 0;
  if (length <= limit) return Array.from({ length }, (_, i) => i);

  const stretches = Math.floor((limit - 2) / (2 * columns.length));
  assert(stretches > 0, `${limit} points cannot hold the extremes of ${columns.length} curves`);
  const kept = new Set([0, length - 1]);
  for (let stretch = 0; stretch < stretches; stretch++) {
    const start = Math.floor((stretch * length) / stretches);
    const end = Math.floor(((stretch + 1) * length) / stretches);
    for (const column of columns) for (const index of extremes(column, start, end)) kept.add(index);
  }
  return [...kept].sort((a, b) => a - b);
}

/** Indices of the minimum and maximum of column[start, end), ignoring NaN; empty if there are no numbers. */
export function extremes(column: readonly number[], start = 0, end = column.length): number[] {
  let [lowest, highest] = [-1, -1];
  for (let i = start; i < end; i++) {
    const value = column[i]!;
    if (Number.isNaN(value)) continue;
    if (lowest < 0 || value < column[lowest]!) lowest = i;
    if (highest < 0 || value > column[highest]!) highest = i;
  }
  return lowest < 0 ? [] : [lowest, highest];
}

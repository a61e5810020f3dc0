import { assert } from "../../core/errors.ts";

/**
 * Chooses which points of a long curve to draw: the first, the last, and the lowest and highest of every column in
 * each of many equal stretches, so that no spike is lost. Values that are no number are never chosen as an extreme.
 *
 * @param columns curves over the same steps, all of one length
 * @param limit at most so many points, at least 2 and 2 more for each column
 * @returns indices, ascending; all of them where there are no more than `limit`
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

/** Where the lowest and the highest number of column[start, end) stand; empty where there is no number at all. */
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

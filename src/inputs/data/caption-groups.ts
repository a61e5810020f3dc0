/**
 * Which rows have the same text, [N]: for each row the number of the first row with the same ids.
 *
 * @param inputIds - [N, L]
 */
export function captionGroups(inputIds: Int32Array, rows: number): Int32Array {
  const length = inputIds.length / rows;
  const firstWith = new Map<string, number>();
  return Int32Array.from({ length: rows }, (_, row) => {
    const ids = inputIds.subarray(row * length, (row + 1) * length).join();
    if (!firstWith.has(ids)) firstWith.set(ids, row);
    return firstWith.get(ids)!;
  });
}

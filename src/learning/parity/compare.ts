/** ‖met − wanted‖ / ‖wanted‖; infinite if the lengths differ. */
export function relativeError(met: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (met.length !== wanted.length) return Infinity;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (met[i]! - wanted[i]!) ** 2;
    size += wanted[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

/** max |met − wanted|, NaN if any value is; infinite if the lengths differ. */
export function largestDifference(met: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (met.length !== wanted.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) largest = Math.max(largest, Math.abs(met[i]! - wanted[i]!));
  return largest;
}

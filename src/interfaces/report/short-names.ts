/** Shortens paths by their common folder; a single path becomes its file name. */
export function shortNames(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split(/[\\/]/));
  const [first = [], ...others] = parts;
  let common = 0;
  while (
    common < first.length - 1 &&
    others.every((other) => other.length - 1 > common && other[common] === first[common])
  )
    common++;
  return parts.map((path) => path.slice(common).join("/"));
}

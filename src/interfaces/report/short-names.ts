/**
 * Paths as a list shows them: without the folder that all of them lie in, so that rows differ where they can be seen.
 * What is no path, or the only one, keeps its file name.
 */
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

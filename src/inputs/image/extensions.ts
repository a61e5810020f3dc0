/** File extensions of decodable images, in lower case. */
export const imageExtensions: ReadonlySet<string> = new Set([
  ...[".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif", ".svg", ".svgz"],
]);

/** How the names of images that can be decoded end, in lower case. */
export const imageExtensions: ReadonlySet<string> = new Set([
  ...[".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif", ".svg", ".svgz"],
]);

/* In a page, addresses take the place of paths. */

/** Absolute address, resolved against the page's or, in a worker, the script's. */
export function wholeAddress(url: string): string {
  return new URL(url, "document" in globalThis ? document.baseURI : location.href).href;
}

export function basename(url: string): string {
  return parts(url)[0].replace(/^.*\//, "");
}

/** An address without its last part; its query (`?token=…`) stays. */
export function dirname(url: string): string {
  const [path, query] = parts(url);
  return path.replace(/\/[^/]*$/, "") + query;
}

/** Address of a file in a folder, with the folder's query. */
export function join(folder: string, name: string): string {
  const [path, query] = parts(folder);
  return `${path}/${name}${query}`;
}

/** Path without trailing slashes, and query. */
export function parts(url: string): [path: string, query: string] {
  const [, path = "", query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(url) ?? [];
  return [path.replace(/\/+$/, ""), query];
}

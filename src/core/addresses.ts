/* Addresses of files, as paths are elsewhere. */

/** An address from the page's own on, as a whole one; a worker has its script's. */
export function wholeAddress(url: string): string {
  return new URL(url, "document" in globalThis ? document.baseURI : location.href).href;
}

/** The last part of an address. */
export function basename(url: string): string {
  return parts(url)[0].replace(/^.*\//, "");
}

/** An address without its last part; what is asked of it (`?token=…`) stays. */
export function dirname(url: string): string {
  const [path, query] = parts(url);
  return path.replace(/\/[^/]*$/, "") + query;
}

/** The address of what lies in a folder; what is asked of the folder is asked of it too. */
export function join(folder: string, name: string): string {
  const [path, query] = parts(folder);
  return `${path}/${name}${query}`;
}

/** The path without a slash at its end, and the query. */
export function parts(url: string): [path: string, query: string] {
  const [, path = "", query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(url) ?? [];
  return [path.replace(/\/+$/, ""), query];
}

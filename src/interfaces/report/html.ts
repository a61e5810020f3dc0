/** Escaped HTML. Only {@link html} and {@link trusted} create it, so plain strings are always escaped. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlPart = Html | string | number | readonly HtmlPart[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Template tag: the template is HTML, its values are escaped, for text and quoted attributes. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  return new Html(strings.map((string, i) => (i === 0 ? "" : render(parts[i - 1]!)) + string).join(""));
}

/** Marks our own code or a pinned dependency's as HTML. Never use it for names, captions or numbers from files. */
export function trusted(code: string): Html {
  return new Html(code);
}

/** JSON for a `<script type="application/json">`, with `<` escaped so that it cannot end the element. */
export function jsonForScript(value: unknown): Html {
  return new Html(JSON.stringify(value).replaceAll("<", "\\u003c"));
}

function render(part: HtmlPart): string {
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(render).join("");
  return String(part).replace(/[&<>"']/g, (character) => entities[character]!);
}

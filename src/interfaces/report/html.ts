/** Text that is HTML already. Only {@link html} and {@link trusted} make it, so a plain string is always escaped. */
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

/** Template tag: what is written in the template is HTML, what is put into it is text, safe between tags and quotes. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  return new Html(strings.map((string, i) => (i === 0 ? "" : render(parts[i - 1]!)) + string).join(""));
}

/** Code of our own or of a pinned dependency, taken as it is. Never for names, captions or numbers from files. */
export function trusted(code: string): Html {
  return new Html(code);
}

/** A value for a `<script type="application/json">`: no `<` remains that could end the element. */
export function jsonForScript(value: unknown): Html {
  return new Html(JSON.stringify(value).replaceAll("<", "\\u003c"));
}

function render(part: HtmlPart): string {
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(render).join("");
  return String(part).replace(/[&<>"']/g, (character) => entities[character]!);
}

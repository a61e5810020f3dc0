import { ClipError } from "../../core/errors.ts";
import { suggestion } from "../../core/nearest.ts";

/** A condition on items. */
export type SearchFilter =
  | { readonly op: "and" | "or"; readonly filters: readonly SearchFilter[] }
  | { readonly op: "not"; readonly filter: SearchFilter }
  | { readonly op: FilterComparison; readonly field: FilterField; readonly value: string | number }
  | { readonly op: "in"; readonly field: FilterField; readonly values: readonly (string | number)[] }
  | { readonly op: "known"; readonly field: FilterField }
  | { readonly op: "near"; readonly latitude: number; readonly longitude: number; readonly km: number };

const comparisons = ["=", "!=", "<=", ">=", "<", ">", "~"] as const;

/** `~` is true for texts that contain the value. */
export type FilterComparison = (typeof comparisons)[number];

/** The fields that a filter can name, by the kind of their values. */
export const filterFields = {
  path: "text",
  name: "text",
  folder: "text",
  kind: "text",
  camera: "text",
  lens: "text",
  place: "text",
  description: "text",
  taken: "date",
  width: "number",
  height: "number",
  rating: "number",
  bytes: "number",
  duration: "number",
} as const;

export type FilterField = keyof typeof filterFields;

/** Bounds the work of parsing and of running a filter. */
const maxLength = 10_000;
const maxDepth = 50;

const tokenPattern =
  /\s*(?:(?<string>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?<symbol><=|>=|!=|[=<>~(),])|(?<word>[^\s'"=<>~!(),]+))/y;

interface Token {
  readonly kind: "string" | "symbol" | "word" | "end";
  readonly text: string;
  readonly at: number;
}

/**
 * Parses a condition such as `taken >= 2024-01-01 and camera = 'X100' and not folder in (screenshots, memes)`.
 *
 * Fields: path, name, folder, kind, camera, lens, place, description (texts; `*` stands for anything, and `~` means "contains");
 * taken (a date, or a part of one: `taken = 2024-05`); width, height, rating, bytes, duration (numbers). `FIELD is known`,
 * `near(LATITUDE, LONGITUDE, DISTANCE)` with a distance such as 500m or 2km; `and`, `or`, `not`, parentheses.
 *
 * @throws {ClipError} `CLIP_USAGE` with the place of the mistake.
 */
export function parseFilter(text: string): SearchFilter {
  if (text.length > maxLength)
    throw new ClipError("CLIP_USAGE", `the filter has ${text.length} characters; the limit is ${maxLength}`);
  const parser = new Parser(text);
  const filter = parser.or(0);
  parser.end();
  return filter;
}

class Parser {
  readonly #text: string;
  #at = 0;
  #next: Token;

  constructor(text: string) {
    this.#text = text;
    this.#next = this.#read();
  }

  or(depth: number): SearchFilter {
    return this.#list("or", depth, () => this.#list("and", depth, () => this.#not(depth)));
  }

  end(): void {
    if (this.#next.kind !== "end") this.#fail("expected and, or, or the end");
  }

  #list(op: "and" | "or", depth: number, part: () => SearchFilter): SearchFilter {
    if (depth > maxDepth) this.#fail(`parentheses and not nest deeper than ${maxDepth} levels`);
    const filters = [part()];
    while (this.#takeWord(op)) filters.push(part());
    return filters.length === 1 ? filters[0]! : { op, filters };
  }

  #not(depth: number): SearchFilter {
    let negations = 0;
    while (this.#takeWord("not")) negations++;
    const filter = this.#condition(depth);
    return negations % 2 === 0 ? filter : { op: "not", filter };
  }

  #condition(depth: number): SearchFilter {
    if (this.#takeSymbol("(")) {
      const filter = this.or(depth + 1);
      this.#expect(")");
      return filter;
    }
    const field = this.#next;
    const name = field.text.toLowerCase();
    if (field.kind === "word" && name === "near") return this.#near();
    if (field.kind !== "word" || !Object.hasOwn(filterFields, name))
      this.#fail(`expected a field${suggestion(name, Object.keys(filterFields))}`);
    this.#advance();
    return this.#comparison(name as FilterField);
  }

  #comparison(field: FilterField): SearchFilter {
    if (this.#takeWord("is")) {
      const isNegated = this.#takeWord("not");
      if (!this.#takeWord("known")) this.#fail("expected known");
      return isNegated ? { op: "not", filter: { op: "known", field } } : { op: "known", field };
    }
    const isNegated = this.#takeWord("not");
    if (this.#takeWord("in")) {
      this.#expect("(");
      const values = [this.#value(field)];
      while (this.#takeSymbol(",")) values.push(this.#value(field));
      this.#expect(")");
      const filter: SearchFilter = { op: "in", field, values };
      return isNegated ? { op: "not", filter } : filter;
    }
    if (isNegated) this.#fail("expected in");
    const op = comparisons.find((each) => this.#takeSymbol(each));
    if (!op) this.#fail("expected =, !=, <, <=, >, >=, ~, in, or is known");
    const kind = filterFields[field];
    if (op === "~" && kind !== "text") this.#fail(`~ is for texts, and ${field} is a ${kind}`);
    return { op, field, value: this.#value(field) };
  }

  #near(): SearchFilter {
    this.#advance();
    this.#expect("(");
    const latitude = this.#number("a latitude", -90, 90);
    this.#expect(",");
    const longitude = this.#number("a longitude", -180, 180);
    this.#expect(",");
    const distance = /^(\d+(?:\.\d+)?)(m|km)$/i.exec(this.#next.text);
    if (!distance) this.#fail("expected a distance such as 500m or 2km");
    this.#advance();
    this.#expect(")");
    return {
      op: "near",
      latitude,
      longitude,
      km: Number(distance[1]) / (distance[2]!.toLowerCase() === "m" ? 1000 : 1),
    };
  }

  #value(field: FilterField): string | number {
    const { kind, text } = this.#next;
    if (kind !== "word" && kind !== "string") this.#fail("expected a value");
    const wanted = filterFields[field];
    if (wanted === "number") return this.#number("a number", -Infinity, Infinity);
    if (wanted === "date" && !isDate(text))
      this.#fail("expected a date such as 2024, 2024-05, 2024-05-01 or 2024-05-01T12:30");
    this.#advance();
    return text;
  }

  #number(wanted: string, least: number, most: number): number {
    const { text } = this.#next;
    const value = text.trim() === "" ? NaN : Number(text);
    if (Number.isNaN(value) || value < least || value > most) this.#fail(`expected ${wanted}`);
    this.#advance();
    return value;
  }

  #takeWord(word: string): boolean {
    return this.#take("word", this.#next.text.toLowerCase() === word);
  }

  #takeSymbol(symbol: string): boolean {
    return this.#take("symbol", this.#next.text === symbol);
  }

  #take(kind: Token["kind"], fits: boolean): boolean {
    if (this.#next.kind !== kind || !fits) return false;
    this.#advance();
    return true;
  }

  #expect(symbol: string): void {
    if (!this.#takeSymbol(symbol)) this.#fail(`expected "${symbol}"`);
  }

  #advance(): void {
    this.#next = this.#read();
  }

  #read(): Token {
    const rest = /\s*$/y;
    rest.lastIndex = this.#at;
    if (rest.test(this.#text)) return { kind: "end", text: "", at: this.#text.length };
    tokenPattern.lastIndex = this.#at;
    const found = tokenPattern.exec(this.#text)?.groups;
    const at = this.#at;
    if (!found) throw mistake(this.#text, at, "a quotation mark is not closed, or a character is not expected");
    this.#at = tokenPattern.lastIndex;
    const { string, symbol, word } = found;
    if (string !== undefined)
      return { kind: "string", text: string.slice(1, -1).replaceAll(string[0]!.repeat(2), string[0]!), at };
    return symbol === undefined ? { kind: "word", text: word!, at } : { kind: "symbol", text: symbol, at };
  }

  #fail(problem: string): never {
    throw mistake(this.#text, this.#next.at, problem);
  }
}

function mistake(text: string, at: number, problem: string): ClipError {
  const rest = text.slice(at).trim();
  const place = rest === "" ? "at its end" : `at "${rest.length > 40 ? `${rest.slice(0, 40)}…` : rest}"`;
  return new ClipError("CLIP_USAGE", `the filter is not understood ${place}: ${problem}`);
}

const datePattern = /^\d{4}(?:-\d\d(?:-\d\d(?:T\d\d(?::\d\d(?::\d\d)?)?)?)?)?$/;

/** Whether a text is a date of the calendar, or its beginning. */
function isDate(text: string): boolean {
  const whole = text + "0000-01-01T00:00:00".slice(text.length);
  const date = new Date(`${whole}Z`);
  return datePattern.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(whole);
}

import { type FilterComparison, type SearchFilter, type FilterField, filterFields } from "./filter.ts";

/** A condition in SQL; the values are parameters, never part of the text. */
export interface SqlCondition {
  readonly sql: string;
  readonly parameters: readonly (string | number)[];
}

/** What differs between databases. */
export interface Dialect {
  /** The placeholder of the nth parameter, from 1. */
  readonly placeholder: (n: number) => string;
  /** Appended to a column to compare its bytes. */
  readonly binary: string;
}

/**
 * The condition of a filter on the table `items`, whose columns have the names of the fields. An unknown value fulfils no comparison, so `not camera = 'X100'` includes items
 * whose camera is unknown.
 *
 * @param first - number of the first parameter.
 */
export function filterSql(filter: SearchFilter, dialect: Dialect, first = 1): SqlCondition {
  const parameters: (string | number)[] = [];
  const parameter = (value: string | number) => dialect.placeholder(first - 1 + parameters.push(value));
  return { sql: new Writer(dialect, parameter).condition(filter), parameters };
}

class Writer {
  readonly #dialect: Dialect;
  readonly #parameter: (value: string | number) => string;

  constructor(dialect: Dialect, parameter: (value: string | number) => string) {
    this.#dialect = dialect;
    this.#parameter = parameter;
  }

  condition(filter: SearchFilter): string {
    switch (filter.op) {
      case "and":
      case "or":
        return `(${filter.filters.map((each) => this.condition(each)).join(` ${filter.op} `)})`;
      case "not":
        return `(not ${this.condition(filter.filter)})`;
      case "in":
        return `(${filter.values.map((value) => this.#compare("=", filter.field, value)).join(" or ")})`;
      case "known":
        return `(items.${filter.field} is not null)`;
      case "near":
        return this.#near(filter);
      default:
        return this.#compare(filter.op, filter.field, filter.value);
    }
  }

  #compare(op: FilterComparison, field: FilterField, value: string | number): string {
    if (op === "!=") return `(not ${this.#compare("=", field, value)})`;
    const column = `items.${field}`;
    return `(${column} is not null and ${this.#known(column, op, field, value)})`;
  }

  #known(column: string, op: Exclude<FilterComparison, "!=">, field: FilterField, value: string | number): string {
    if (typeof value === "number") return `${column} ${op} ${this.#parameter(value)}`;
    if (filterFields[field] === "date") return this.#date(column, op, value);
    // A folder is named by itself or by a path, wherever it is.
    if (field === "folder" && (op === "=" || op === "~"))
      return this.#like(`'/' || ${column} || '/'`, op === "=" ? `*/${trimSlashes(value)}/*` : `*${value}*`);
    if (op === "~") return this.#like(column, `*${value}*`);
    if (op === "=") return this.#like(column, value);
    return `lower(${column}) ${op} lower(${this.#parameter(value)})`;
  }

  /** Times are texts whose order is that of time, and a date is the beginning of all its times. */
  #date(column: string, op: string, value: string): string {
    const bytes = `${column}${this.#dialect.binary}`;
    const [start, end] = [() => this.#parameter(value), () => this.#parameter(`${value}~`)];
    if (op === "<") return `${bytes} < ${start()}`;
    if (op === ">=") return `${bytes} >= ${start()}`;
    if (op === "<=") return `${bytes} < ${end()}`;
    if (op === ">") return `${bytes} >= ${end()}`;
    return `${bytes} >= ${start()} and ${bytes} < ${end()}`;
  }

  /** Case does not count, and `*` stands for anything. */
  #like(text: string, pattern: string): string {
    const escaped = pattern.replaceAll(/[\\%_]/g, "\\$&").replaceAll("*", "%");
    return `lower(${text}) like lower(${this.#parameter(escaped)}) escape '\\'`;
  }

  /** The haversine of the distance on a sphere, which grows with it, after a cheap comparison of latitudes. */
  #near({ latitude, longitude, km }: SearchFilter & { op: "near" }): string {
    const degrees = km / kmPerDegree;
    const box = `items.latitude between ${this.#parameter(latitude - degrees)} and ${this.#parameter(latitude + degrees)}`;
    const half = (column: string, value: number) => `sin(radians(${column} - ${this.#parameter(value)}) / 2)`;
    const north = half("items.latitude", latitude);
    const cosines = `cos(radians(${this.#parameter(latitude)})) * cos(radians(items.latitude))`;
    const east = half("items.longitude", longitude);
    const square = `${north} * ${north} + ${cosines} * ${east} * ${east}`;
    const most = this.#parameter(Math.sin(Math.min(km / (2 * earthRadiusKm), Math.PI / 2)) ** 2);
    return `(items.latitude is not null and items.longitude is not null and ${box} and ${square} <= ${most})`;
  }
}

const earthRadiusKm = 6371;
const kmPerDegree = (Math.PI / 180) * earthRadiusKm;

const trimSlashes = (path: string) => path.replaceAll(/^\/+|\/+$/g, "");

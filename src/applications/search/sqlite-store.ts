import { join } from "node:path";
import Database from "libsql";
import { makeFolder } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { tryLock } from "../../core/lock.ts";
import { rawBytes } from "../../model/checkpoints/write-safetensors.ts";
import { dot } from "../../model/embedding/encoder.ts";
import type { SearchFilter } from "./filter.ts";
import { type Dialect, filterSql } from "./filter-sql.ts";
import { maxTailRows, type RowSource, Scanner } from "./scan/scanner.ts";
import type {
  EmbeddedItem,
  EmbeddedView,
  Item,
  ModelFingerprint,
  Store,
  StoreHit,
  StoreSearch,
  UnreadableFile,
} from "./store.ts";

/** Increase when the tables change, and migrate the older ones. */
const schemaVersion = 1;

const tables = `
  create table settings (name text primary key, value text not null) strict, without rowid;
  create table items (
    id integer primary key,
    path text not null unique,
    name text not null,
    folder text not null,
    kind text not null check (kind in ('image', 'video')),
    bytes integer not null,
    modified real not null,
    hash text not null,
    perceptualHash text,
    taken text,
    camera text,
    lens text,
    place text,
    latitude real,
    longitude real,
    width integer,
    height integer,
    rating integer,
    duration real,
    description text
  ) strict;
  create index items_hash on items (hash);
  create table views (
    id integer primary key autoincrement,
    item integer not null references items on delete cascade,
    start real, stop real,
    x real, y real, width real, height real,
    vector blob not null
  ) strict;
  create index views_item on views (item);
  create table unreadable (
    path text primary key,
    bytes integer not null,
    modified real not null,
    reason text not null
  ) strict, without rowid;
  create virtual table words using fts5 (name, description, tokenize = "unicode61 remove_diacritics 2");
`;

const itemColumns = [
  ...["path", "kind", "bytes", "modified", "hash", "perceptualHash", "taken", "camera", "lens", "place"],
  ...["latitude", "longitude", "width", "height", "rating", "duration", "description"],
] as const satisfies readonly (keyof Item)[];
const selectItem = itemColumns.map((column) => `items.${column}`).join(", ");
const selectView = "views.start, views.stop, views.x, views.y, views.width, views.height, views.vector";

type Value = string | number | null | Uint8Array;
type Row = readonly Value[];

const sqlite: Dialect = { placeholder: (n) => `?${n}`, binary: "" };
/** Rows per query of a long listing. */
const pageRows = 1000;

/**
 * A search index in a folder: one SQLite database, and beside it the cache of the scan, which can be deleted. Rows are on the
 * disk when a call returns, and several processes may read while one writes.
 */
export class SqliteStore implements Store {
  readonly model: ModelFingerprint;
  readonly #folder: string;
  readonly #database: Database.Database;
  #scanner: Promise<Scanner> | undefined;
  /** Transactions of this process. */
  #writes = 0;
  /** The state of the database that the scanner follows. */
  #scanned: string | undefined;

  private constructor(folder: string, database: Database.Database, model: ModelFingerprint) {
    this.#folder = folder;
    this.#database = database;
    this.model = model;
  }

  /**
   * Opens the index of a folder, and creates it if there is none.
   *
   * @param model - the model that the vectors come from; without it, that of the index.
   * @throws {ClipError} `CLIP_USAGE` if the index has vectors of another model; `CLIP_FILE` if there is no index and no model, or
   *   the database is damaged or was written by a newer version.
   */
  static async open(folder: string, model?: ModelFingerprint): Promise<SqliteStore> {
    if (model) await makeFolder(folder);
    const path = join(folder, databaseName);
    return guarded(path, () => {
      const database = openDatabase(path, model !== undefined);
      try {
        return new SqliteStore(folder, database, matchingModel(path, database, model));
      } catch (error) {
        database.close();
        throw error;
      }
    });
  }

  async upsert(items: readonly EmbeddedItem[], unreadable: readonly UnreadableFile[] = []): Promise<void> {
    const run = (sql: string, ...values: Value[]) => this.#database.prepare(sql).run(...values);
    const columns = ["name", "folder", ...itemColumns];
    const insertItem = `insert into items (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`;
    const insertView =
      "insert into views (item, start, stop, x, y, width, height, vector) values (?, ?, ?, ?, ?, ?, ?, ?)";
    await this.#write(() => {
      for (const { item, views } of items) {
        this.#removePath(item.path);
        const values = itemColumns.map((column) => item[column] ?? null);
        const { lastInsertRowid } = run(insertItem, ...partsOf(item.path), ...values);
        const id = Number(lastInsertRowid);
        const [name] = partsOf(item.path);
        run("insert into words (rowid, name, description) values (?, ?, ?)", id, name, item.description ?? "");
        for (const { time, box, vector } of views) {
          this.#checkLength(vector);
          const [start = null, stop = null] = time ?? [];
          const [x = null, y = null, width = null, height = null] = box ?? [];
          run(insertView, id, start, stop, x, y, width, height, rawBytes(vector));
        }
      }
      for (const { path, bytes, modified, reason } of unreadable) {
        this.#removePath(path);
        run(
          "insert into unreadable (path, bytes, modified, reason) values (?, ?, ?, ?)",
          path,
          bytes,
          modified,
          reason,
        );
      }
    });
  }

  async remove(paths: readonly string[]): Promise<void> {
    await this.#write(() => paths.forEach((path) => this.#removePath(path)));
  }

  async search(query: Float32Array, { k, where }: StoreSearch): Promise<StoreHit[]> {
    this.#checkLength(query);
    const allowed = where && this.#viewsOf(where);
    const found =
      allowed && allowed.length <= maxTailRows ? allowed : (await this.#scan(query, k, allowed)).map(({ id }) => id);
    const ids = Float64Array.from(found);
    const { dim } = this.model;
    const vectors = this.#vectors(ids);
    const best = Array.from(ids, (id, row) => ({
      id,
      similarity: dot(query, vectors.subarray(row * dim, (row + 1) * dim)),
    }));
    best.sort((a, b) => b.similarity - a.similarity || a.id - b.id);
    const select = this.#select(
      `select ${selectItem}, ${selectView} from views join items on items.id = item where views.id = ?`,
    );
    return best.slice(0, k).map(({ id, similarity }) => ({ ...embeddedViewOf(select.get(id) as Row), similarity }));
  }

  searchWords(words: string, query: Float32Array, { k, where }: StoreSearch): Promise<StoreHit[]> {
    this.#checkLength(query);
    const phrase = (words.match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => `"${word}"`).join(" ");
    if (phrase === "") return Promise.resolve([]);
    const condition = where && filterSql(where, sqlite, 3);
    const found = `select items.id, rank from words join items on items.id = words.rowid where words match ?1${
      condition ? ` and ${condition.sql}` : ""
    } order by rank limit ?2`;
    const sql = `select ${selectItem}, ${selectView} from (${found}) as found
      join items on items.id = found.id join views on item = items.id order by found.rank, views.id`;
    const values = [phrase, k, ...(condition?.parameters ?? [])];
    return this.#run(() =>
      (this.#select(sql).all(...values) as Row[]).map((row) => {
        const view = embeddedViewOf(row);
        return { ...view, similarity: dot(query, view.vector) };
      }),
    );
  }

  async *items(where?: SearchFilter): AsyncGenerator<Item> {
    for await (const row of this.#pages(`select ${selectItem}, items.path from items`, "items.path", where))
      yield itemOf(row);
  }

  async *unreadable(): AsyncGenerator<UnreadableFile> {
    const sql = "select path, bytes, modified, reason, path from unreadable";
    for await (const row of this.#pages(sql, "path")) {
      const [path, bytes, modified, reason] = row as readonly [string, number, number, string];
      yield { path, bytes, modified, reason };
    }
  }

  async *scan(where?: SearchFilter): AsyncGenerator<Omit<StoreHit, "similarity">> {
    const sql = `select ${selectItem}, ${selectView}, views.id from views join items on items.id = item`;
    for await (const row of this.#pages(sql, "views.id", where)) yield embeddedViewOf(row);
  }

  withHash(hash: string): Promise<EmbeddedItem | undefined> {
    const sql = `select ${selectItem}, ${selectView} from items left join views on items.id = item where items.id =
      (select id from items where hash = ? limit 1)`;
    return this.#run(() => {
      const rows = this.#select(sql).all(hash) as Row[];
      if (rows.length === 0) return undefined;
      return { item: itemOf(rows[0]!), views: rows.filter((row) => row.at(-1) !== null).map(viewOf) };
    });
  }

  sample(count: number): Promise<Float32Array[]> {
    return this.#run(() => {
      const ids = this.#viewsOf();
      const chosen =
        ids.length <= count ? ids : ids.filter((_, i) => (i * 2654435761) % 2 ** 32 < (count / ids.length) * 2 ** 32);
      const { dim } = this.model;
      const vectors = this.#vectors(chosen);
      return Array.from(chosen, (_, row) => vectors.subarray(row * dim, (row + 1) * dim));
    });
  }

  setting(name: string): Promise<string | undefined> {
    const row = () => this.#select("select value from settings where name = ?").get(name) as [string] | undefined;
    return this.#run(() => row()?.[0]);
  }

  async setSetting(name: string, value: string): Promise<void> {
    const sql = "insert into settings (name, value) values (?1, ?2) on conflict (name) do update set value = ?2";
    await this.#run(() => this.#database.prepare(sql).run(name, value));
  }

  async lock(): Promise<AsyncDisposable | undefined> {
    const path = join(this.#folder, "index.lock");
    // The first try removes the lock of a killed process.
    return (await tryLock(path)) ?? (await tryLock(path));
  }

  counts(): ReturnType<Store["counts"]> {
    const sql = "select (select count(*) from items), (select count(*) from views), (select count(*) from unreadable)";
    return this.#run(() => {
      const [items, views, unreadable] = this.#select(sql).get() as [number, number, number];
      return { items, views, unreadable };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const scanner = await this.#scanner?.catch(() => undefined);
    await scanner?.[Symbol.asyncDispose]();
    this.#database.close();
  }

  /** Candidates among all views, of which other processes may have added some. */
  async #scan(query: Float32Array, k: number, allowed: Float64Array | undefined) {
    const source: RowSource = {
      dim: this.model.dim,
      ids: () => this.#viewsOf(),
      vectors: (ids) => this.#vectors(ids),
    };
    const state = `${JSON.stringify(this.#database.pragma("data_version"))} ${this.#writes}`;
    this.#scanner ??= Scanner.open(join(this.#folder, "scan"), source);
    const scanner = await this.#scanner.catch((error: unknown) => {
      this.#scanner = undefined;
      throw error;
    });
    if (this.#scanned !== undefined && this.#scanned !== state) await scanner.refresh();
    this.#scanned = state;
    return scanner.scan(query, k, allowed);
  }

  /** Ids of the views of all items, or of those that a filter chooses, ascending. */
  #viewsOf(where?: SearchFilter): Float64Array {
    const condition = where && filterSql(where, sqlite);
    // The index on items lists the ids without the pages that hold the vectors.
    const from = condition
      ? `items join views on item = items.id where ${condition.sql}`
      : "views indexed by views_item where item > 0";
    const [json] = this.#select(`select json_group_array(views.id) from ${from}`).get(
      ...(condition?.parameters ?? []),
    ) as [string];
    return Float64Array.from(JSON.parse(json) as number[]).sort();
  }

  #vectors(ids: Float64Array): Float32Array {
    const { dim } = this.model;
    const select = this.#select("select vector from views where id = ?");
    const vectors = new Float32Array(ids.length * dim);
    for (const [row, id] of ids.entries()) vectors.set(floatsOf((select.get(id) as [Uint8Array])[0]), row * dim);
    return vectors;
  }

  /** Rows of a query in the order of a unique column, which it selects last: a page at a time, so that others can write. */
  async *#pages(sql: string, by: string, where?: SearchFilter): AsyncGenerator<Row> {
    const condition = where && filterSql(where, sqlite, 3);
    const page = this.#select(
      `${sql} where ${by} > ?1${condition ? ` and ${condition.sql}` : ""} order by ${by} limit ?2`,
    );
    for (let after: Value = by === "views.id" ? 0 : ""; ;) {
      const from: Value = after;
      const rows: Row[] = await this.#run(() => page.all(from, pageRows, ...(condition?.parameters ?? [])) as Row[]);
      yield* rows;
      if (rows.length < pageRows) return;
      after = rows.at(-1)!.at(-1)!;
    }
  }

  #select(sql: string): Database.Statement {
    return this.#database.prepare(sql).raw();
  }

  #run<Result>(work: () => Result): Promise<Result> {
    return guarded(join(this.#folder, databaseName), work);
  }

  async #write(work: () => void): Promise<void> {
    await this.#run(() => this.#database.transaction(work).immediate());
    this.#writes++;
  }

  #removePath(path: string): void {
    const found = this.#select("select id from items where path = ?").get(path) as [number] | undefined;
    this.#database.prepare("delete from unreadable where path = ?").run(path);
    if (!found) return;
    this.#database.prepare("delete from words where rowid = ?").run(found[0]);
    this.#database.prepare("delete from items where id = ?").run(found[0]);
  }

  #checkLength({ length }: Float32Array): void {
    if (length !== this.model.dim)
      throw new ClipError(
        "CLIP_USAGE",
        `a vector has ${length} numbers, and this index holds vectors of ${this.model.dim}`,
      );
  }
}

const databaseName = "index.db";

/** The database of the index in a folder. */
export const databaseOf = (folder: string): string => join(folder, databaseName);

/** Opens or creates the database. */
function openDatabase(path: string, create: boolean): Database.Database {
  const database = new Database(path, { timeout: 10_000, fileMustExist: !create });
  database.pragma("page_size = 8192");
  database.pragma("journal_mode = wal");
  database.pragma("synchronous = full");
  database.pragma("foreign_keys = on");
  const [{ user_version: version }] = database.pragma("user_version") as [{ user_version: number }];
  if (version > schemaVersion) {
    database.close();
    throw new ClipError(
      "CLIP_FILE",
      `${path} was written by a newer version of clip-ts; update it with npm install clip-ts@latest`,
    );
  }
  if (version === 0)
    database
      .transaction(() => {
        database.exec(tables);
        database.pragma(`user_version = ${schemaVersion}`);
      })
      .immediate();
  return database;
}

/** The index's model; a new index takes the given one. */
function matchingModel(path: string, database: Database.Database, model?: ModelFingerprint): ModelFingerprint {
  const row = database.prepare("select value from settings where name = 'model'").raw().get() as [string] | undefined;
  if (!row) {
    if (!model) throw new ClipError("CLIP_FILE", `${path} is not complete; index the folder again`);
    database.prepare("insert into settings (name, value) values ('model', ?)").run(JSON.stringify(model));
    return model;
  }
  const own = JSON.parse(row[0]) as ModelFingerprint;
  if (model && model.checksum !== own.checksum)
    throw new ClipError(
      "CLIP_USAGE",
      `${path} holds vectors of the model ${own.name}, and this is ${model.name}: their vectors cannot be compared; use --model ${own.name}, or another index`,
    );
  return own;
}

/** Problems of the database, by code. */
const problems: Readonly<Record<string, string>> = {
  SQLITE_FULL: "the disk is full: free some space and try again; what was indexed before is kept",
  SQLITE_BUSY: "another process is writing to it; try again when it has finished",
  SQLITE_CORRUPT: "the database is damaged; restore it from a backup, or delete its folder and index again",
  SQLITE_NOTADB: "the database is damaged; restore it from a backup, or delete its folder and index again",
};

/** Runs something on the database, and explains its errors. */
function guarded<Result>(path: string, work: () => Result): Promise<Result> {
  return new Promise((resolve, reject) => {
    try {
      resolve(work());
    } catch (cause) {
      const { code = "", message } = cause as { readonly code?: string; readonly message: string };
      const problem = message.startsWith("ConnectionFailed")
        ? "there is none, or its folder cannot be written"
        : (problems[code] ?? message);
      const error = new ClipError("CLIP_FILE", `cannot use the index ${path}: ${problem}`, { cause });
      reject(cause instanceof ClipError ? cause : error);
    }
  });
}

/** Name and folder of a path. */
function partsOf(path: string): [name: string, folder: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(slash + 1), path.slice(0, Math.max(0, slash))];
}

function itemOf(row: Row): Item {
  const fields = itemColumns.flatMap((column, i) => (row[i] === null ? [] : [[column, row[i]]]));
  return Object.fromEntries(fields) as Item;
}

function viewOf(row: Row): EmbeddedView {
  const [start, stop, x, y, width, height, vector] = row.slice(itemColumns.length) as [
    ...(number | null)[],
    Uint8Array,
  ] &
    Value[];
  return {
    ...(start !== null && { time: [start, stop] as [number, number] }),
    ...(x !== null && { box: [x, y, width, height] as [number, number, number, number] }),
    vector: floatsOf(vector as Uint8Array),
  };
}

const embeddedViewOf = (row: Row) => ({ item: itemOf(row), ...viewOf(row) });

/** A copy, as the bytes of a row may lie anywhere. */
const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(Uint8Array.from(bytes).buffer);

/** Limit for the unpacked bytes of a column in a row group. */
const maxUnpackedBytes = 2 ** 30;

/** A structure of Thrift's compact protocol by field number; only integers and structures are kept. */
type Struct = ReadonlyMap<number, number | Struct>;

/** Types of pages, and the field of a page's header that describes one of that type. */
const dictionaryPage = 2;
const describedBy = new Map([
  [0, 5],
  [dictionaryPage, 7],
  [3, 8],
]);

/**
 * Looks at the pages of one column of a group of rows before they are decoded: a decoder takes the memory and the time that their headers
 * name, and a negative size would lead it back.
 *
 * Layout of the headers: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
 *
 * @param bytes - the pages.
 * @param values - how many the column says to have.
 * @throws {Error} if the pages are not as they must be.
 */
export function checkPages(bytes: Uint8Array, values: number): void {
  const reader = new ThriftReader(bytes);
  let [found, unpacked] = [0, 0];
  while (reader.at < bytes.length) {
    const header = reader.struct();
    const [type, size, packed] = [1, 2, 3].map((field) => wholeNumber(header.get(field)));
    const about = header.get(describedBy.get(type!) ?? -1);
    if (about === undefined || typeof about === "number") throw new Error("a page is of no known type");
    const count = wholeNumber(about.get(1));
    unpacked += size!;
    reader.at += packed!;
    if (reader.at > bytes.length) throw new Error("a page is longer than its column");
    if (unpacked > maxUnpackedBytes) throw new Error(`a column has more than ${maxUnpackedBytes} bytes in a row group`);
    if (type !== dictionaryPage) found += count;
    // A value of a dictionary takes a bit at least.
    else if (count > 8 * size!) throw new Error("a dictionary has more entries than fit its bytes");
    if (type === 3 && wholeNumber(about.get(3)) > count) throw new Error("a page has more rows than values");
    if (found > values) throw new Error("the pages of a column have more values than the column");
  }
  if (found < values) throw new Error("the pages of a column have fewer values than the column");
}

function wholeNumber(value: number | Struct | undefined): number {
  if (typeof value === "number" && value >= 0) return value;
  throw new Error("a page's header has an impossible size");
}

/** Reads Thrift's compact protocol, as far as page headers need it. */
class ThriftReader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  struct(depth = 0): Struct {
    if (depth > 8) throw new Error("a page's header is nested too deeply");
    const fields = new Map<number, number | Struct>();
    for (let id = 0, head = this.#byte(); head !== 0; head = this.#byte()) {
      id = head >> 4 ? id + (head >> 4) : this.#signed();
      const value = this.#value(head & 0x0f, depth);
      if (value !== undefined) fields.set(id, value);
    }
    return fields;
  }

  #value(type: number, depth: number): number | Struct | undefined {
    if (type === 1 || type === 2) return undefined; // true and false
    if (type === 3) return this.#skip(1);
    if (type >= 4 && type <= 6) return this.#signed();
    if (type === 7) return this.#skip(8);
    if (type === 8) return this.#skip(this.#unsigned());
    if (type === 12) return this.struct(depth + 1);
    throw new Error("a page's header has a field of an unknown type");
  }

  #skip(bytes: number): undefined {
    this.at += bytes;
    return undefined;
  }

  #signed(): number {
    const value = this.#unsigned();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #unsigned(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new Error("a page's header has a number that is too long");
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new Error("a page's header is cut short");
    return byte;
  }
}

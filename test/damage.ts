import { Random } from "../src/core/random.ts";

/** A copy with a few bytes changed, runs of them doubled or left out, or its end missing. */
export function damage(whole: Uint8Array, seed: number): Uint8Array {
  const random = new Random(seed);
  let bytes = Buffer.from(whole);
  for (let count = 1 + random.integer(8); count > 0; count--) {
    const at = random.integer(bytes.length);
    const length = 1 + random.integer(16);
    const kind = random.integer(8);
    if (kind === 0) bytes = bytes.subarray(0, at + 1);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    else bytes[at] = random.integer(256);
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}

/** What stands in a JSON file of somebody who means no good, as text: some of it no JSON. */
const hostile: readonly ((random: Random) => string)[] = [
  ...[
    ...["0", "-1", "-0", "0.5", "1e9", "1e300", "1e999", "-1e999", "4294967296", "9007199254740993", "NaN", "Infinity"],
    ...[
      "null",
      "true",
      '""',
      '"\\u0000"',
      '"../../etc/passwd"',
      '"__proto__"',
      "[]",
      "{}",
      "[[]]",
      "[null]",
      '{"":{}}',
    ],
    ...[
      '{"__proto__":{"polluted":1}}',
      '{"constructor":{"prototype":{"polluted":1}}}',
      '{"length":1e9}',
      '{"then":{}}',
    ],
    `${"[".repeat(20_000)}${"]".repeat(20_000)}`,
    `${'{"a":'.repeat(90)}1${"}".repeat(90)}`,
    `[${Array(20_000).fill(1).join()}]`,
    JSON.stringify("x".repeat(100_000)),
  ].map((text) => () => text),
  (random) => String(random.integer(2 ** 31)),
  (random) => JSON.stringify(String.fromCodePoint(1 + random.integer(0xd7ff))),
];

type Node = Record<string, unknown>;

/** A copy of a JSON text with one or two of its values or keys replaced, doubled or left out. */
export function damageJson(whole: string, seed: number): string {
  const random = new Random(seed);
  const json = JSON.parse(whole) as Node;
  const raw: string[] = [];
  for (let count = 1 + random.integer(2); count > 0; count--) {
    let [node, depth] = [json, random.integer(6)];
    for (; depth > 0; depth--) {
      const inner = Object.values(node).filter((value) => typeof value === "object" && value !== null) as Node[];
      if (inner.length === 0) break;
      node = inner[random.integer(inner.length)]!;
    }
    const keys = Object.keys(node);
    if (keys.length === 0) continue;
    const key = keys[random.integer(keys.length)]!;
    const text = hostile[random.integer(hostile.length)]!(random);
    const kind = random.integer(8);
    if (kind === 0) Reflect.deleteProperty(node, key);
    else if (kind === 1)
      Object.defineProperty(node, "__proto__", {
        value: node[key],
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else if (kind === 2 && !Array.isArray(node)) node[`${key}?`] = node[key];
    else {
      // The key a second time, or in its place.
      const twice = kind === 3 && !Array.isArray(node) ? `${JSON.stringify(node[key])},${JSON.stringify(key)}:` : "";
      raw.push(twice + text);
      node[key] = `<${raw.length - 1}>`;
    }
  }
  return raw.reduce((text, value, i) => text.replace(`"<${i}>"`, () => value), JSON.stringify(json));
}

/**
 * How many texts of a draw come out as ftfy and open_clip clean them, kind by kind, and the first that do not.
 *
 *   npx tsx scripts/compare-texts.ts [DRAW]
 *
 * Draws are made by scripts/fixtures-texts.py; default is the one in fixtures/texts.
 */
import { readFileSync } from "node:fs";
import { cleanText } from "../src/inputs/text/clean.ts";

const shown = 10;
const path = process.argv[2] ?? new URL("../fixtures/texts/ftfy.json", import.meta.url);
const { rows, versions } = JSON.parse(readFileSync(path, "utf8")) as {
  readonly rows: readonly { readonly kind: string; readonly text: string; readonly cleaned: string }[];
  readonly versions: Readonly<Record<string, string>>;
};
const different = rows.filter(({ text, cleaned }) => cleanText(text) !== cleaned);
for (const kind of new Set(rows.map(({ kind }) => kind))) {
  const count = (list: typeof rows) => list.filter((row) => row.kind === kind).length;
  const [all, wrong] = [count(rows), count(different)];
  console.log(`${kind.padEnd(12)} ${(100 * (1 - wrong / all)).toFixed(2).padStart(6)} % of ${all} equal`);
}
for (const { text, cleaned } of different.slice(0, shown))
  console.log(JSON.stringify({ text, wanted: cleaned, got: cleanText(text) }));
console.log(
  Object.entries(versions)
    .map((entry) => entry.join(" "))
    .join(", "),
);

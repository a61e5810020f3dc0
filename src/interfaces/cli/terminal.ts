import { styleText } from "node:util";
import { printable } from "../../core/printable.ts";
import { shortNames } from "../report/short-names.ts";
import { noneOfThese } from "../../model/zero-shot/templates.ts";
import { type RankedLabel } from "../../model/zero-shot/classifier.ts";

/** The terminal: its width in characters, and whether it shows colours. */
export interface Paper {
  readonly columns: number;
  readonly colour: boolean;
}

/** Names take at most two fifths of a line, so that bars and numbers fit. */
const nameWidth = (names: readonly string[], columns: number): number =>
  Math.min(32, Math.max(8, Math.floor(0.4 * columns)), Math.max(...names.map((name) => displayWidth(printable(name)))));

/** 0.123 as "12.3 %"; "–" without a value. */
export function percentCell(share: number | undefined): string {
  return share === undefined ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** Labels as bars, one per line: label, bar, probability. */
export function drawBars(labels: readonly RankedLabel[], { columns, colour }: Paper): string[] {
  const width = nameWidth(
    labels.map(({ label }) => label),
    columns,
  );
  const barWidth = Math.max(8, Math.min(60, columns - width - "     100.0 %".length));
  return labels.map(({ label, probability }, i) => {
    const bar = drawBar(probability, barWidth);
    const painted = colour ? styleText(i === 0 && label !== noneOfThese ? "green" : "gray", bar) : bar;
    return `  ${fit(label, width)}  ${painted}${percentCell(probability).padStart(8)}`;
  });
}

/** Drawn in eighths of a block, so that one percent is visible. */
function drawBar(share: number, width: number): string {
  const eighths = Math.round(share * width * 8);
  const partial = eighths % 8 === 0 ? "" : String.fromCodePoint(0x2590 - (eighths % 8));
  return `${"█".repeat(Math.floor(eighths / 8))}${partial}`.padEnd(width);
}

export interface HeatMapRow {
  readonly name: string;
  /** One per label. */
  readonly similarities: readonly number[];
  /** Printed below the map. */
  readonly best: RankedLabel;
}

const cellWidth = 7;
/** Terminal colours from dark blue over green to yellow. */
const heatColours = [17, 18, 24, 30, 36, 72, 78, 114, 150, 186, 222];
/** From this colour on the text is black instead of white. */
const firstBright = 5;

/**
 * Similarities of images (rows) and labels (columns, numbered; a legend follows). Columns that do not fit go into further tables.
 */
export function drawHeatMap(
  heatRows: readonly HeatMapRow[],
  labels: readonly string[],
  { columns, colour }: Paper,
): string[] {
  const names = shortNames(heatRows.map(({ name }) => name));
  const rows = heatRows.map((row, i) => ({ ...row, name: names[i]! }));
  const all = rows.flatMap(({ similarities }) => similarities);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const width = nameWidth(names, columns);
  const perTable = Math.max(1, Math.floor((columns - width - 2) / cellWidth));
  const lines: string[] = [];
  for (let from = 0; from < labels.length; from += perTable) {
    const numbers = labels.slice(from, from + perTable).map((_, i) => String(from + i + 1).padStart(cellWidth - 1));
    lines.push(`  ${" ".repeat(width)}${numbers.map((number) => `${number} `).join("")}`.trimEnd());
    for (const { name, similarities } of rows) {
      const cells = similarities.slice(from, from + perTable).map((similarity) => {
        const cell = `${similarity.toFixed(2)} `.padStart(cellWidth);
        return colour ? paintHeat(cell, high > low ? (similarity - low) / (high - low) : 1) : cell;
      });
      lines.push(`  ${fit(name, width)}${cells.join("")}`.trimEnd());
    }
    lines.push("");
  }
  labels.forEach((label, i) => lines.push(`${String(i + 1).padStart(6)}  ${printable(label)}`));
  lines.push("");
  for (const { name, best } of rows)
    lines.push(`  ${fit(name, width)}  ${printable(best.label)}  ${(100 * best.probability).toFixed(1)} %`);
  return lines;
}

function paintHeat(cell: string, share: number): string {
  const shade = Math.round(share * (heatColours.length - 1));
  return `\x1b[48;5;${heatColours[shade]}m\x1b[38;5;${shade >= firstBright ? 16 : 231}m${cell}\x1b[0m`;
}

/** A table with aligned columns; numbers are aligned to the right. */
export function table(head: readonly string[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(printable));
  const ofNumbers = head.map((_, column) => rows.every((row) => isNumberCell(row[column]!)));
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[], toRight: readonly boolean[]) =>
    row.map((cell, column) => (toRight[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)));
  const lines = [line(head, []), ...rows.map((row) => line(row, ofNumbers))];
  return lines.map((line) => line.join("  ").trimEnd()).join("\n");
}

/** A number with an optional short unit (63.3 %, 151 M, 1.0e-5), "–" or an empty cell. */
function isNumberCell(cell: string): boolean {
  return /^(|–|-?\d[\d.,]*(e[-+]?\d+)?( [%\p{L}]{1,2})?)$/u.test(cell);
}

/** Cuts a text in the middle, as names differ at their ends, or pads it to exactly this width. */
function fit(text: string, width: number): string {
  let fitted = printable(text);
  if (displayWidth(fitted) > width) {
    let [head, tail] = [[...fitted], [...fitted]];
    while (displayWidth(head.join("")) > Math.floor((width - 1) / 3)) head = head.slice(0, -1);
    while (displayWidth(tail.join("")) > width - 1 - displayWidth(head.join(""))) tail = tail.slice(1);
    fitted = `${head.join("")}…${tail.join("")}`;
  }
  return fitted + " ".repeat(width - displayWidth(fitted));
}

/** East Asian characters and emoji take two columns, combining accents none. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    width +=
      /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

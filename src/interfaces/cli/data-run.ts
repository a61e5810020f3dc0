import { writeFileAtomic } from "../../core/atomic-write.ts";
import { printable } from "../../core/printable.ts";
import { counted } from "../report/numbers.ts";
import { dataPage } from "../report/data-page.ts";
import { checkData, type DataReport, type Spread } from "../../inputs/data/check-data.ts";
import { type PackedShard, packShards } from "../../inputs/data/pack.ts";
import { readPairs } from "../../inputs/data/pairs.ts";
import { type SkippedImage } from "../../inputs/data/image-files.ts";
import { type SourceOptions } from "../../inputs/data/sources/samples.ts";
import type { CliIo } from "./io.ts";
import { megabytes, showDownload } from "./options.ts";
import { describeSkip } from "./terminal.ts";
import { thumbnail } from "./thumbnail.ts";

/** Images on the contact sheet, and the longer side of each in pixels. */
const shownImages = 60;
const shownSize = 224;
/** Lines of a list in a terminal, and characters of each. */
const shownLines = 10;
const shownCharacters = 240;

/** What `clip-ts data check` was asked for. */
interface CheckRequest extends SourceOptions {
  readonly source: string;
  readonly contextLength: number;
  readonly maxImagePixels: number;
  readonly html?: string | undefined;
  readonly json?: boolean | undefined;
}

/** Looks at a source, and prints what is in it. */
export async function reportData(
  { source, html, json, contextLength, maxImagePixels, ...options }: CheckRequest,
  io: CliIo,
): Promise<void> {
  const pairs = await readPairs(source, { ...options, signal: io.signal, onProgress: showDownload(io) });
  const every = Math.max(1, pairs.samples.length / shownImages);
  const sheet: { image: string; name: string; captions: readonly string[] }[] = [];
  const report = await checkData(pairs, {
    ...{ contextLength, maxImagePixels, signal: io.signal },
    onProgress: (images) => io.progress(`${images} of ${pairs.samples.length} images`),
    async onImage({ image, captions }, index, raster) {
      if (html === undefined || Math.floor(index / every) === Math.floor((index - 1) / every)) return;
      sheet[index] = { image: await thumbnail(raster, shownSize), name: image, captions };
    },
  });
  if (html !== undefined) {
    await writeFileAtomic(html, [dataPage({ source, report, sheet: Object.values(sheet) })]);
    io.err(`wrote ${html}`);
  }
  if (json) io.out(JSON.stringify({ source, ...report }, null, 2));
  else io.out(describe(report).join("\n"));
}

function describe({ captions, ...report }: DataReport): string[] {
  const lines = [
    line("pairs", `${report.pairs.toLocaleString("en")}, and ${report.skipped.length.toLocaleString("en")} skipped`),
    line("width", spread(report.width, "pixels")),
    line("height", spread(report.height, "pixels")),
    line("captions", `${captions.count.toLocaleString("en")}, ${captions.distinct.toLocaleString("en")} different`),
    line("length", `${spread(captions.tokens, "tokens")}; ${captions.tooLong} beyond ${captions.contextLength}`),
  ];
  const list = (title: string, entries: readonly string[]) => {
    if (entries.length === 0) return;
    lines.push("", title, ...entries.slice(0, shownLines).map((entry) => `  ${shorten(printable(entry))}`));
    if (entries.length > shownLines) lines.push(`  and ${entries.length - shownLines} more`);
  };
  list(
    "skipped, by reason",
    report.reasons.map(({ reason, count }) => `${count} × ${reason}`),
  );
  list("skipped", report.skipped.map(describeSkip));
  list(
    "captions of most images",
    captions.shared.map(({ caption, images }) => `${images} × ${caption}`),
  );
  list("notes", report.notes);
  return lines;
}

function line(name: string, text: string): string {
  return `${name.padEnd(10)}${text}`;
}

function shorten(text: string): string {
  return text.length <= shownCharacters ? text : `${text.slice(0, shownCharacters - 1)}…`;
}

function spread(values: Spread | undefined, unit: string): string {
  return values ? `${values.min} to ${values.max} ${unit}, half of them up to ${values.median}` : "none could be read";
}

/** What `clip-ts data pack` was asked for. */
interface PackRequest extends SourceOptions {
  readonly source: string;
  readonly out: string;
  readonly shardSize: number;
  readonly json?: boolean | undefined;
}

/** Writes a source as shards, and prints their names. */
export async function packData({ source, out, shardSize, json, ...options }: PackRequest, io: CliIo): Promise<void> {
  const synthetic = options.syntheticColumn !== undefined;
  const pairs = await readPairs(source, { ...options, synthetic, signal: io.signal, onProgress: showDownload(io) });
  const skipped: SkippedImage[] = [...pairs.skipped];
  const shards: PackedShard[] = [];
  const onProgress = (written: number) => io.progress(`${written} of ${pairs.samples.length} pairs`);
  for await (const shard of packShards(pairs, out, skipped, { shardSize, signal: io.signal, onProgress })) {
    shards.push(shard);
    if (!json) io.out(`${printable(shard.path)}  ${counted(shard.pairs, "pair")}, ${megabytes(shard.bytes)}`);
  }
  for (const skip of skipped.slice(0, shownLines)) io.err(`left out: ${describeSkip(skip)}`);
  if (skipped.length > shownLines) io.err(`left out: ${skipped.length - shownLines} more; data check lists them`);
  if (json) io.out(JSON.stringify({ shards, skipped }, null, 2));
}

import { Command, Option } from "@commander-js/extra-typings";
import { printable } from "../../../core/printable.ts";
import { checkData, type DataReport, type Spread } from "../../../inputs/data/check-data.ts";
import { type SkippedImage } from "../../../inputs/data/image-files.ts";
import { type PackedShard, packShards } from "../../../inputs/data/pack.ts";
import { readPairs } from "../../../inputs/data/pairs.ts";
import { counted } from "../../report/numbers.ts";
import type { CliIo } from "../io.ts";
import { megabytes, showDownload } from "../model-options.ts";
import {
  addTableOptions,
  examples,
  htmlOption,
  jsonOption,
  maxImagePixelsOption,
  repeatedTemplate,
  shardSizeOption,
  parseWholeNumber,
} from "../options.ts";
import { describeSkip, printJson, showSkipped, writePage } from "../output.ts";
import { thumbnail } from "../thumbnail.ts";

/** Images on the contact sheet, and the longer side of each in pixels. */
const shownImages = 60;
const shownSize = 224;
/** Lines of a list in a terminal, and characters of each. */
const shownLines = 10;
const shownCharacters = 240;

export const dataCommand = (io: CliIo) =>
  new Command("data")
    .summary("check training data, and pack it into shards")
    .description("Checks training data before a run, and packs many small files into few large ones.")
    .addCommand(checkCommand(io))
    .addCommand(packCommand(io));

const source = "a folder, shards, or a table, as in a training run's `train`";
const classTemplateOption = new Option(
  "--class-template <sentence>",
  'treat folders as classes: a sentence with {} for the folder\'s name, such as "a photo of a {}"; may be repeated',
).argParser(repeatedTemplate);

const checkCommand = (io: CliIo) =>
  addTableOptions(
    new Command("check")
      .summary("check training data")
      .description(
        "Reads every caption and decodes every image. Prints image sizes, skipped images with reasons, captions that several images " +
          "share, and caption lengths in tokens of CLIP's published vocabulary.",
      )
      .argument("<source>", source),
  )
    .addOption(classTemplateOption)
    .option("--context-length <n>", "tokens that the text tower reads, special tokens included", parseWholeNumber(), 77)
    .addOption(maxImagePixelsOption)
    .addOption(htmlOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts data check pets --html pets.html",
        'clip-ts data check flowers --class-template "a photo of a {}, a flower"',
        "clip-ts data check photos.csv --caption-column text --json",
      ),
    )
    .action(async (path, { classTemplate: classTemplates, html, json, contextLength, maxImagePixels, ...columns }) => {
      const { signal } = io;
      const pairs = await readPairs(path, { ...columns, classTemplates, signal, onProgress: showDownload(io) });
      const every = Math.max(1, pairs.samples.length / shownImages);
      const sheet: { image: string; name: string; captions: readonly string[] }[] = [];
      const { skipped, ...report } = await checkData(pairs, {
        ...{ contextLength, maxImagePixels, signal },
        onProgress: (images) => io.progress(`${images} of ${pairs.samples.length} images`),
        async onImage({ image, captions }, index, raster) {
          if (html === undefined || Math.floor(index / every) === Math.floor((index - 1) / every)) return;
          sheet[index] = { image: await thumbnail(raster, shownSize), name: image, captions };
        },
      });
      if (html !== undefined) {
        const { dataPage } = await import("../../report/data-page.ts");
        const shown = { source: path, report: { ...report, skipped }, sheet: Object.values(sheet) };
        await writePage(html, dataPage(shown), io);
      }
      if (json) printJson({ data: path, results: report, skipped }, io);
      else io.out(describe({ ...report, skipped }).join("\n"));
    });

function describe({ captions, ...report }: DataReport): string[] {
  const lines = [
    line("pairs", `${report.pairs.toLocaleString("en")}, and ${report.skipped.length.toLocaleString("en")} skipped`),
    line("width", spread(report.width, "pixels")),
    line("height", spread(report.height, "pixels")),
    line("captions", `${captions.count.toLocaleString("en")}, ${captions.distinct.toLocaleString("en")} different`),
    line("length", `${spread(captions.tokens, "tokens")}; ${captions.tooLong} longer than ${captions.contextLength}`),
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
    "most frequent captions",
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
  return values ? `${values.min} to ${values.max} ${unit}, median ${values.median}` : "none could be read";
}

const packCommand = (io: CliIo) =>
  addTableOptions(
    new Command("pack")
      .summary("pack training data into webdataset shards")
      .description(
        "Writes captions and unchanged image files into tar archives, which are faster to copy and to read than many small files. The " +
          "pairs are shuffled, so each shard is a random sample of all.",
      )
      .argument("<in>", source)
      .argument("<out>", "the folder for the shards"),
  )
    .addOption(classTemplateOption)
    .option("--synthetic-column <name>", "the column or key with synthetic captions to pack (default: none)")
    .addOption(shardSizeOption)
    .addOption(jsonOption)
    .addHelpText("after", examples("clip-ts data pack photos.csv shards --shard-size 5000"))
    .action(async (path, out, { classTemplate: classTemplates, shardSize, json, ...columns }) => {
      const { signal } = io;
      const reading = { ...columns, classTemplates, synthetic: columns.syntheticColumn !== undefined };
      const pairs = await readPairs(path, { ...reading, signal, onProgress: showDownload(io) });
      const skipped: SkippedImage[] = [...pairs.skipped];
      const shards: PackedShard[] = [];
      const onProgress = (written: number) => io.progress(`${written} of ${pairs.samples.length} pairs`);
      for await (const shard of packShards(pairs, out, skipped, { shardSize, signal, onProgress })) {
        shards.push(shard);
        if (!json) io.out(`${printable(shard.path)}  ${counted(shard.pairs, "pair")}, ${megabytes(shard.bytes)}`);
      }
      showSkipped(skipped, io);
      if (json) printJson({ data: path, results: shards, skipped }, io);
    });

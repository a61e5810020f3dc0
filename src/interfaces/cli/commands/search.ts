import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import type { SearchFilter } from "../../../applications/search/filter.ts";
import { parseFilter } from "../../../applications/search/filter.ts";
import { hashDistance } from "../../../applications/search/perceptual-hash.ts";
import { parseTerm, type QueryTerm } from "../../../applications/search/query.ts";
import type { SearchHit } from "../../../applications/search/search-index.ts";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { searchPage } from "../../report/search-page.ts";
import { counted, percent } from "../../report/numbers.ts";
import type { CliIo } from "../io.ts";
import { addModelOptions } from "../model-options.ts";
import { examples, htmlOption, jsonOption, numberUpTo, type OptionsOf, repeated, topKOption } from "../options.ts";
import { printJson, writePage } from "../output.ts";
import { excludeOption, indexOption, type OpenedIndex, openChosenIndex, updateIndex } from "../search-index.ts";
import { thumbnail } from "../thumbnail.ts";
import { decodeImage } from "../../../inputs/image/decode.ts";

const command = () =>
  addModelOptions(
    new Command("search")
      .summary("find images by a sentence or by an example")
      .description(
        "Finds the images of an index that match a sentence, an example image, or a mixture of both, best first. It ends where " +
          "the matches end, so it may say that nothing matches. With a folder, the folder is indexed first and only its images are " +
          'searched. A text may have a weight: "2:golden retriever". Words of file names and descriptions count too.',
      )
      .argument("[query]", "what the images show; or nothing, with --like")
      .argument("[folder]", "a folder of images")
      .option("--like <image>", "an example: a path or an address; may be repeated", repeated)
      .option("--plus <text>", "also show this; may be repeated", repeated)
      .option("--minus <text>", "be unlike this; may be repeated", repeated)
      .option("--where <filter>", "a condition, such as \"taken >= 2024-01-01 and camera = 'X100'\"")
      .option("--near <place>", "taken near a place: latitude,longitude,distance, such as 52.5,13.4,2km")
      .addOption(
        new Option("--sort <order>", "order of the results")
          .choices(["match", "date"] as const)
          .default("match" as const),
      )
      .addOption(topKOption("100"))
      .option(
        "--min-probability <share>",
        "least probability of a result; 0 gives the nearest images",
        numberUpTo(1),
        0.5,
      )
      .option("--hide-duplicates", "of results that look alike, show only the best match")
      .option("--no-words", "do not look for the words of the query in file names and descriptions")
      .option("--no-update", "search the index as it is")
      .addOption(indexOption)
      .addOption(excludeOption),
  )
    .option("--paths", "print paths alone, one per line")
    .addOption(htmlOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        'clip-ts search "a dog on a beach" photos',
        'clip-ts search "2:golden retriever" --minus "a person" --top-k 10',
        'clip-ts search --like holiday.jpg --where "taken = 2023 and not folder = screenshots"',
        'clip-ts search "a red bicycle" --paths | xargs -d "\\n" cp -t found',
      ),
    );
type Options = OptionsOf<typeof command>;

export const searchCommand = (io: CliIo) =>
  command().action(async (first, second, options) => {
    const { query, folder } = argumentsOf(first, second, options);
    const terms = termsOf(query, options);
    const where = filterOf(folder, options);
    await using opened = await openChosenIndex(options, io);
    noteUnknown(terms, opened, io);
    if (folder !== undefined && options.update) await updateIndex(opened, [folder], options, io);
    const { topK, minProbability, words } = options;
    const hits: SearchHit[] = [];
    const search = { topK, minProbability, words, where, signal: io.signal };
    for await (const hit of opened.index.search(terms, search)) hits.push(hit);
    const shown = options.hideDuplicates ? withoutDuplicates(hits) : hits;
    if (options.sort === "date") shown.sort((a, b) => (b.item.taken ?? "").localeCompare(a.item.taken ?? ""));
    await print(shown, query ?? options.like!.join(", "), opened, options, io);
  });

/** With `--like` alone, the only argument is the folder. */
function argumentsOf(first: string | undefined, second: string | undefined, { like }: Options) {
  const isFolder = (path: string) => existsSync(path) && statSync(path).isDirectory();
  if (first !== undefined && second === undefined && like && isFolder(first))
    return { query: undefined, folder: first };
  if (first === undefined && !like)
    throw new ClipError(
      "CLIP_USAGE",
      'say what to look for, such as clip-ts search "a dog on a beach", or give --like IMAGE',
    );
  return { query: first, folder: second };
}

function termsOf(query: string | undefined, { like = [], plus = [], minus = [] }: Options): QueryTerm[] {
  const negative = ({ weight = 1, ...term }: QueryTerm) => ({ ...term, weight: -weight });
  return [
    ...(query === undefined ? [] : [parseTerm(query)]),
    ...plus.map(parseTerm),
    ...like.map((image) => ({ image })),
    ...minus.map((text) => negative(parseTerm(text))),
  ];
}

function filterOf(folder: string | undefined, { where, near }: Options): SearchFilter | undefined {
  const filters: SearchFilter[] = [];
  if (folder !== undefined)
    filters.push({ op: "=", field: "path", value: `${resolve(folder).replaceAll("\\", "/")}/*` });
  if (where !== undefined) filters.push(parseFilter(where));
  if (near !== undefined) filters.push(parseFilter(`near(${near})`));
  return filters.length > 1 ? { op: "and", filters } : filters[0];
}

/** Of hits that look alike the first. */
function withoutDuplicates(hits: readonly SearchHit[]): SearchHit[] {
  const kept: SearchHit[] = [];
  for (const hit of hits) {
    const hash = hit.item.perceptualHash;
    const isAlike = ({ item: { perceptualHash } }: SearchHit) =>
      hash !== undefined && perceptualHash !== undefined && hashDistance(hash, perceptualHash) <= alikeBits;
    if (!kept.some(isAlike)) kept.push(hit);
  }
  return kept;
}

/** Copies of an image differ in at most this many bits of their perceptual hashes. */
const alikeBits = 6;

/** Says which words the model cannot know: those that its training captions lack, and other languages than English. */
function noteUnknown(terms: readonly QueryTerm[], { index: { encoder } }: OpenedIndex, io: CliIo): void {
  const query = terms.flatMap(({ text }) => text ?? []).join(" ");
  const words = encoder.unknownWords(query).map((word) => JSON.stringify(word));
  if (words.length > 0) io.err(`the model was not trained on ${words.join(", ")}; the results may mean little`);
  const isEnglishOnly = encoder.stored.vocabulary.kind !== "json";
  if (isEnglishOnly && /[^\p{Script=Latin}\P{L}]/u.test(query))
    io.err(
      "this model was trained on English captions and may not understand the query; a multilingual SigLIP 2 would",
    );
}

async function print(hits: readonly SearchHit[], query: string, opened: OpenedIndex, options: Options, io: CliIo) {
  const { model, folder } = opened;
  if (options.html !== undefined) {
    const images = new Map<string, string>();
    for (const { item } of hits)
      await decodeImage(item.path)
        .then(thumbnail)
        .then((url) => images.set(item.path, url))
        .catch(() => undefined);
    await writePage(options.html, searchPage({ query, hits, images, model }), io);
  }
  if (options.json) return printJson({ model, data: folder, results: hits.map(resultOf) }, io);
  if (options.paths) return hits.forEach(({ item }) => io.out(item.path));
  if (hits.length === 0) return io.out("nothing matches; --min-probability 0 shows the nearest images");
  for (const { item, probability, hasWords } of hits)
    io.out(`${percent(probability).padStart(8)}  ${printable(item.path)}${hasWords ? "  (named so)" : ""}`);
  io.err(`${counted(hits.length, "image")} found`);
}

const resultOf = ({ item, time, box, probability, similarity, hasWords }: SearchHit) => ({
  ...item,
  ...{ time, box, probability, similarity, hasWords },
});

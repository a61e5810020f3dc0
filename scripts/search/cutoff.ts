/**
 * Precision and recall of the search's cut-off: names of drawings by an artist that the bundled model was not trained on, as queries
 * against an index of these drawings, and against small indexes of 20.
 *
 *   npx tsx scripts/search/cutoff.ts [--half tuned|held-out]
 */
import { parseArgs } from "node:util";
import sharp from "sharp";
import { Background, embedBackground, matchProbability } from "../../src/applications/search/background.ts";
import { Random } from "../../src/core/random.ts";
import { collect, loadClip } from "../../src/index.ts";
import { readIconSet, spaced, testArtist } from "../pictograms/drawings.ts";
import { svgDocument } from "../pictograms/redraw.ts";

const { values } = parseArgs({ options: { half: { type: "string", default: "held-out" } } });
const seed = 20261201;
const random = new Random(seed, 7);

const { drawings } = readIconSet(testArtist);
const images = await Promise.all(
  drawings.map((drawing) =>
    sharp(Buffer.from(svgDocument(drawing, drawing.body, 96)))
      .flatten({ background: "white" })
      .png()
      .toBuffer(),
  ),
);
await using clip = await loadClip("pictograms");
const names = drawings.map(({ name }) => spaced(name));
const imageEmbeds = await collect(clip.encodeImages(images));
const order = [...random.permutation(names.length)];
const chosen = order.filter((i) => (i % 2 === 0) === (values.half === "tuned")).slice(0, 400);
const queryEmbeds = await collect(clip.encodeTexts(chosen.map((i) => names[i]!)));
const prompts = await embedBackground(clip);

/** Whether a drawing's name has all words of another: "grinning face with big eyes" is a grinning face. */
const small = new Set(["with", "of", "the", "and", "a", "in", "for", "on"]);
const words = names.map((name) => name.split(" ").filter((word) => !small.has(word)));
const matches = (query: number, drawing: number) => words[query]!.every((word) => words[drawing]!.includes(word));

/** Counts hits and misses of all queries, each against an index of some drawings. */
function measure(indexOf: (query: number) => readonly number[]) {
  let [found, wrong, missed, silent] = [0, 0, 0, 0];
  for (const [q, truth] of chosen.entries()) {
    const rows = indexOf(truth);
    const query = queryEmbeds[q]!;
    const background = new Background(
      prompts,
      rows.slice(0, 512).map((i) => imageEmbeds[i]!),
    );
    const ofQuery = background.of(query);
    const distinct = rows.map((i) => background.distinctness(query, imageEmbeds[i]!, ofQuery));
    const best = Math.max(...distinct);
    const hits = rows.filter((_, row) => matchProbability(distinct[row]!, best) >= 0.5);
    const right = hits.filter((i) => matches(truth, i)).length;
    found += right;
    wrong += hits.length - right;
    missed += rows.filter((i) => matches(truth, i)).length - right;
    silent += Number(hits.length === 0);
  }
  return {
    precision: found / Math.max(1, found + wrong),
    recall: found / Math.max(1, found + missed),
    wrongPerQuery: wrong / chosen.length,
    nothing: silent / chosen.length,
  };
}

const others = (truth: number) => order.filter((i) => i !== truth);
const shown = (share: number) => share.toFixed(3);
for (const [name, indexOf] of [
  ["all drawings", () => order],
  ["200 drawings", (truth: number) => [truth, ...others(truth).slice(0, 199)]],
  ["20 drawings", (truth: number) => [truth, ...others(truth).slice(0, 19)]],
  [
    "20 drawings, none asked for",
    (truth: number) =>
      others(truth)
        .filter((i) => !matches(truth, i))
        .slice(0, 20),
  ],
] as const) {
  const { precision, recall, wrongPerQuery, nothing } = measure(indexOf);
  console.log(
    `${name}: precision ${shown(precision)}, recall ${shown(recall)}, wrong per query ${shown(wrongPerQuery)}, nothing found ${shown(nothing)}`,
  );
}

/**
 * Names the drawings of the test zero-shot, each among the names of all:
 *
 *   npx tsx scripts/pictograms/evaluate.ts [--model assets/pictogram-clip] [--test corpus/twemoji-test.jsonl] [--json]
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { loadClip, ZeroShotClassifier } from "../../src/index.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    test: { type: "string", default: "corpus/twemoji-test.jsonl" },
    json: { type: "boolean", default: false },
  },
});
const templates = ["{}", "a drawing of a {}", "an icon of a {}", "a picture of {}"];

const rows = readFileSync(values.test, "utf8")
  .split("\n")
  .filter((line) => line !== "");
const drawings = rows.map((line) => JSON.parse(line) as { image: string; caption: string });
const labels = [...new Set(drawings.map(({ caption }) => caption))];

await using clip = await loadClip(values.model ?? "pictograms");
const classifier = await ZeroShotClassifier.create(clip, labels, { templates });
let [top1, top5, seen] = [0, 0, 0];
for await (const image of clip.encodeImages(drawings.map((drawing) => join(dirname(values.test), drawing.image)))) {
  const best = classifier.rank(image, { topK: 5 }).map(({ label }) => label);
  const truth = drawings[seen++]!.caption;
  top1 += Number(best[0] === truth);
  top5 += Number(best.includes(truth));
}
const scores = { drawings: seen, labels: labels.length, top1: top1 / seen, top5: top5 / seen };
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
if (values.json) console.log(JSON.stringify(scores));
else
  console.log(`${seen} drawings, ${labels.length} names: top-1 ${percent(scores.top1)}, top-5 ${percent(scores.top5)}`);

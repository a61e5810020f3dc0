/**
 * Renders the sample images of the package from Twemoji, whose artist pictograms has never seen:
 *
 *   npx tsx scripts/pictograms/make-samples.ts
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { readIconSet, spaced, testArtist } from "./drawings.ts";
import { svgDocument } from "./redraw.ts";

const folder = fileURLToPath(new URL("../../assets/samples/", import.meta.url));
const size = 256;

/** What the images show, and what else they might be taken for. */
const shown = ["rocket", "pizza", "bicycle", "sunflower", "umbrella", "guitar", "snail", "house"];
const others = [
  "airplane",
  "car",
  "cat",
  "clock",
  "crab",
  "doughnut",
  "fish",
  "key",
  "mushroom",
  "scissors",
  "star",
  "tree",
];

const drawings = new Map(readIconSet(testArtist).drawings.map((drawing) => [drawing.name, drawing]));
mkdirSync(folder, { recursive: true });
for (const name of shown) {
  const drawing = drawings.get(name)!;
  await sharp(Buffer.from(svgDocument(drawing, drawing.body, size)))
    .flatten({ background: "white" })
    .png({ compressionLevel: 9 })
    .toFile(`${folder}${name}.png`);
}
writeFileSync(`${folder}labels.txt`, `${[...shown, ...others].map(spaced).sort().join("\n")}\n`);

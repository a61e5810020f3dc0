// Measures zero-shot accuracy on a folder of class folders: npx tsx examples/05-evaluate.ts FOLDER
import { loadClip } from "clip-ts";
import { evaluateZeroShot, readLabelledImages } from "clip-ts/evaluate";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("name a folder of class folders");

await using clip = await loadClip("pictograms"); // for drawings; for photos: loadClip()
// The names of the folders are the labels.
const images = await readLabelledImages(folder);
const { top1, classes, confusions } = await evaluateZeroShot(clip, images, { templates: ["{}", "a drawing of a {}"] });

console.log(`top-1 ${(100 * top1).toFixed(1)} %`);
for (const { name, count, recall = 0 } of classes) console.log(`${name}: ${(100 * recall).toFixed(1)} % of ${count}`);
for (const { truth, predicted, count } of confusions) console.log(`${count} × ${truth} taken for ${predicted}`);

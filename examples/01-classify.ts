// Classifies an image by labels: npx tsx examples/01-classify.ts assets/samples/house.png
import { loadClip } from "clip-ts";

const [image] = process.argv.slice(2);
if (image === undefined) throw new Error("name an image");

// The bundled model is for drawings. For photos leave out the name: 605 MB are fetched once.
await using clip = await loadClip("pictograms");
const ranked = await clip.classify(image, ["cat", "dog", "house", "tree"], { none: true });

for (const { label, probability } of ranked) console.log(`${(100 * probability).toFixed(1).padStart(5)} %  ${label}`);

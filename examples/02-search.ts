// Finds the drawings of a folder that fit a sentence: npx tsx examples/02-search.ts assets/samples "a snail"
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { collect, dot, loadClip } from "clip-ts";

const [folder = "assets/samples", sentence = "a snail"] = process.argv.slice(2);
const images = (await readdir(folder)).filter((name) => /\.(png|jpe?g|webp)$/i.test(name)).sort();

// Knows drawings; for photos: loadClip().
await using clip = await loadClip("pictograms");
const [query] = await collect(clip.encodeTexts([sentence]));

// Images come and go in batches, so the folder may be as large as it likes; of each, one cosine is kept.
const hits: { image: string; score: number }[] = [];
for await (const imageEmbed of clip.encodeImages(images.map((name) => join(folder, name)))) {
  hits.push({ image: images[hits.length]!, score: dot(imageEmbed, query!) });
}

hits.sort((a, b) => b.score - a.score);
for (const { image, score } of hits.slice(0, 5)) console.log(`${score.toFixed(3)}  ${image}`);

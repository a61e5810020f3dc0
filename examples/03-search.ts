// Embeds a folder of images, and searches it by text:
// npx tsx examples/03-search.ts assets/samples /tmp/vectors "a snail"
import { collect, loadClip } from "clip-ts";
import { embed, readVectors, topK } from "clip-ts/vectors";

const [images, out, text] = process.argv.slice(2);
if (images === undefined || out === undefined || text === undefined)
  throw new Error("name a folder of images, a folder for vectors, and a text");

await using clip = await loadClip("pictograms"); // for drawings; for photos: loadClip()
// Existing shards are kept: the second search of a folder starts at once.
for await (const { path, vectors } of embed(clip, images, { out })) console.log(`wrote ${vectors} vectors: ${path}`);

const [query] = await collect(clip.encodeTexts([text]));
for (const { id, similarity } of await topK(query!, readVectors(out), 5))
  console.log(`${similarity.toFixed(3)}  ${id}`);

// Names what is in a picture: npx tsx examples/01-classify.ts PICTURE
import { loadClip } from "clip-ts";

const [picture] = process.argv.slice(2);
if (picture === undefined) throw new Error("name a picture");

await using clip = await loadClip();
const ranked = await clip.classify(picture, ["cat", "dog", "house", "tree"], { none: true });

for (const { label, probability } of ranked) console.log(`${(100 * probability).toFixed(1).padStart(5)} %  ${label}`);

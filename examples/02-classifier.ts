// Classifies many images by several labels each: npx tsx examples/02-classifier.ts assets/samples/*.png
import { loadClip, ZeroShotClassifier } from "clip-ts";

const images = process.argv.slice(2);

await using clip = await loadClip("pictograms"); // for drawings; for photos: loadClip()
// The labels are encoded once, as the mean over the templates.
const classifier = await ZeroShotClassifier.create(clip, ["snail", "bicycle", "house"], {
  templates: ["{}", "a picture of a {}", "a drawing of a {}"],
  multiLabel: true,
});

let seen = 0;
for await (const imageEmbed of clip.encodeImages(images)) {
  const fitting = classifier.rank(imageEmbed).filter(({ probability }) => probability > 0.5);
  console.log(`${images[seen++]!}: ${fitting.map(({ label }) => label).join(", ") || "none of these"}`);
}

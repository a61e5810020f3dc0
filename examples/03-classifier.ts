// Sorts drawings by labels of one's own, each answered for itself: npx tsx examples/03-classifier.ts assets/samples/*.png
import { loadClip, ZeroShotClassifier } from "clip-ts";

const images = process.argv.slice(2);

// Knows drawings; for photos: loadClip().
await using clip = await loadClip("pictograms");
// The vectors of the labels are computed here, once: the mean over the sentences.
const classifier = await ZeroShotClassifier.create(clip, ["animal", "food", "building"], {
  templates: ["{}", "a picture of a {}", "a drawing of a {}"],
  multiLabel: true,
});

let seen = 0;
for await (const imageEmbed of clip.encodeImages(images)) {
  const fitting = classifier.rank(imageEmbed).filter(({ probability }) => probability > 0.5);
  console.log(`${images[seen++]!}: ${fitting.map(({ label }) => label).join(", ") || "nothing of these"}`);
}

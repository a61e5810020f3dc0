// Trains a linear probe on a folder of class folders, and measures it on another:
// npx tsx examples/04-probe.ts TRAIN TEST
import { loadClip } from "clip-ts";
import { encodeLabelled, readLabelledImages, scoreHead, trainProbe } from "clip-ts/evaluate";

const [trainFolder, testFolder] = process.argv.slice(2);
if (trainFolder === undefined || testFolder === undefined)
  throw new Error("name a folder to train on, and one to test on");

await using clip = await loadClip("pictograms"); // for drawings; for photos: loadClip()
const features = async (folder: string) => {
  const { classes, samples } = await readLabelledImages(folder);
  return { classes, images: await encodeLabelled(clip, samples, "before") };
};
const train = await features(trainFolder);
const test = await features(testFolder);

const { head, lambda } = await trainProbe(train.images, train.classes);
const { accuracy, perClass } = await scoreHead(head, test.images);
console.log(`accuracy ${(100 * accuracy).toFixed(1)} %, λ ${lambda.toExponential(1)}`);
train.classes.forEach((name, i) => console.log(`${name}: ${(100 * perClass[i]!).toFixed(1)} %`));

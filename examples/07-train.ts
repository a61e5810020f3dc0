// Pre-trains a small CLIP on a folder of pairs, a.png beside a.txt with its caption, and classifies an image with it:
// npx tsx examples/07-train.ts FOLDER OUT
import { join } from "node:path";
import { loadClip } from "clip-ts";
import { readPairs, runFiles, train, trainConfigSchema } from "clip-ts/train";

const [folder, out] = process.argv.slice(2);
if (folder === undefined || out === undefined) throw new Error("name a folder of pairs, and one to write to");

// The same keys as in the JSON file of `clip-ts train`.
const config = trainConfigSchema.parse({
  model: {
    embedDim: 32,
    activation: "gelu",
    vision: { kind: "vit", imageSize: 32, patchSize: 8, width: 64, layers: 2, heads: 2 },
    text: { contextLength: 32, vocabSize: 600, width: 64, layers: 1, heads: 2 },
  },
  tokenizer: "captions",
  train: folder,
  batchSize: 16,
  steps: 60,
  learningRate: 2e-3,
  warmupSteps: 5,
});

const report = ({ step, loss }: { step: number; loss: number }) => {
  if (step % 20 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
};
await train(config, { out, onProgress: report });

const { samples } = await readPairs(folder);
await using clip = await loadClip(join(out, runFiles.model));
const captions = new Set(samples.flatMap((sample) => sample.captions));
const [best] = await clip.classify(samples[0]!.image, [...captions]);
console.log(`${samples[0]!.captions[0]}: classified as ${best!.label}`);

import { join } from "node:path";
import sharp from "sharp";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { photoAugment } from "../../src/inputs/image/augment.ts";
import { scoreResNet, trainResNet } from "./small-resnet.ts";

const folder = await temporaryFolder();

/** Stripes one way or the other, of random colours: neither their mean nor a single pixel tells them apart. */
async function drawStripes(count: number) {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const [label, hue] = [i % 2, (360 * i) / count];
      const lines = Array.from({ length: 4 }, (_, k) => `<rect y="${8 * k}" width="32" height="4"/>`).join("");
      const turn = label === 1 ? 'transform="rotate(90 16 16)"' : "";
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="#888"/><g ${turn} fill="hsl(${hue},90%,50%)">${lines}</g></svg>`;
      const image = join(folder, `${count}-${i}.png`);
      await sharp(Buffer.from(svg)).png().toFile(image);
      return { image, label };
    }),
  );
}

it("learns which way stripes run, and tells it of images that it has not seen", async () => {
  const [seen, unseen] = [await drawStripes(32), await drawStripes(20)];
  const config = { imageSize: 16, widths: [8, 16], classes: 2 };
  const losses: number[] = [];
  const onStep = (_: number, loss: number) => losses.push(loss);
  const training = { batchSize: 16, steps: 40, learningRate: 1e-2, seed: 0, augment: photoAugment, onStep };
  const weights = await trainResNet(config, seen, training);
  expect(losses).toHaveLength(40);
  // By chance the loss is ln 2 = 0.69.
  expect(losses.at(-1)).toBeLessThan(0.1);
  expect(await scoreResNet(config, weights, unseen)).toBe(1);
});

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { parseStrict } from "../../src/core/parse.ts";
import { type ClipConfig } from "../../src/model/towers/config.ts";
import { type TrainConfig, trainConfigSchema } from "../../src/learning/train/config.ts";

const colours = {
  red: "#e02020",
  green: "#20a030",
  blue: "#2040d0",
  yellow: "#f0d020",
  black: "#101010",
} as const;

const shapes = {
  circle: '<circle cx="12" cy="12" r="9"/>',
  square: '<rect x="4" y="4" width="16" height="16"/>',
  triangle: '<path d="M12 2 22 21H2z"/>',
  bar: '<rect x="1" y="9" width="22" height="6"/>',
  pillar: '<rect x="9" y="1" width="6" height="22"/>',
  cross: '<path d="M1 9h8V1h6v8h8v6h-8v8H9v-8H1z"/>',
} as const;

/** Draws the first so many of 30 distinct images, five colours of six shapes, each beside its caption. */
export async function drawShapes(folder: string, count = 30): Promise<string> {
  await mkdir(folder, { recursive: true });
  const drawings = Object.entries(shapes).flatMap(([shape, path]) =>
    Object.entries(colours).map(([colour, fill]) => ({ caption: `a ${colour} ${shape}`, path, fill })),
  );
  for (const [i, { caption, path, fill }] of drawings.slice(0, count).entries()) {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><rect width="24" height="24" fill="#fff"/><g fill="${fill}">${path}</g></svg>`;
    await sharp(Buffer.from(svg))
      .png()
      .toFile(join(folder, `${i}.png`));
    await writeFile(join(folder, `${i}.txt`), `${caption}\n`);
  }
  return folder;
}

/** Puts a synthetic caption of three sentences beside each image of a folder but the first. */
export async function describeShapes(folder: string): Promise<string> {
  for (const name of await readdir(folder)) {
    if (!/^[1-9]\d*\.txt$/.test(name)) continue;
    const [, colour, shape] = (await readFile(join(folder, name), "utf8")).trimEnd().split(" ");
    const text = `The image shows one ${shape}. It is ${colour}! The ground is white.\n`;
    await writeFile(join(folder, name.replace(".txt", ".synthetic.txt")), text);
  }
  return folder;
}

/** Small enough for steps of milliseconds. */
export const tinyVit: ClipConfig = {
  embedDim: 16,
  activation: "quickGelu",
  vision: { kind: "vit", imageSize: 16, patchSize: 8, width: 32, layers: 1, heads: 2 },
  text: { contextLength: 12, vocabSize: 540, width: 32, layers: 1, heads: 2 },
};

/** With batch norm, whose running statistics are part of the state. */
export const tinyResNet: ClipConfig = {
  ...tinyVit,
  vision: { kind: "resnet", imageSize: 16, width: 8, layers: [1, 1], heads: 2, norm: "batch" },
};

/** A run of the tiny model, with the configuration file's defaults for the rest. */
export function tinyRun(images: string, change: object = {}): TrainConfig {
  const config = {
    model: tinyVit,
    tokenizer: "captions",
    train: images,
    batchSize: 8,
    steps: 12,
    learningRate: 1e-3,
    workers: 1,
    ...change,
  };
  return parseStrict(trainConfigSchema, config, "the tiny run");
}

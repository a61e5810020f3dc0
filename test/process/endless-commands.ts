import { once } from "node:events";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { writeRandomImage } from "../images.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { drawShapes, tinyRun } from "../train/tiny-run.ts";

/** Commands that would go on for minutes or for ever, to be stopped by a signal. */
export interface EndlessCommands {
  /** By name; each writes into folders of the given name, so that one that was stopped is in no other's way. */
  readonly commands: (out: string) => Readonly<Record<string, readonly string[]>>;
  /** They run in. */
  readonly env: NodeJS.ProcessEnv;
  /** What they read. */
  readonly input: string;
}

/** Makes what they read, in a folder. */
export async function endlessCommands(root: string): Promise<EndlessCommands> {
  const image = await writeRandomImage(join(root, "image.png"), 1);
  const model = await saveTinyModel(join(root, "model"));
  // An inference with it takes minutes: 16,384 patches see each other in each of 12 blocks.
  const vision = { kind: "vit", imageSize: 512, patchSize: 4, width: 64, layers: 12, heads: 4 } as const;
  const slow = await saveTinyModel(join(root, "slow"), { config: { ...tinyConfig, vision } });
  const images = await drawShapes(join(root, "images"), 8);
  for (const name of ["a cat", "a dog"]) {
    await mkdir(join(root, "classes", name), { recursive: true });
    for (let i = 0; i < 8; i++) await writeRandomImage(join(root, "classes", name, `${i}.png`), i);
  }
  // No repetition of a repetition, and still the 10th power of the length: the check lets it pass, and a limit of time ends it.
  const endless = join(root, "endless");
  await cp(model, endless, { recursive: true });
  const config = JSON.parse(await readFile(join(endless, "config.json"), "utf8")) as object;
  await writeFile(join(endless, "config.json"), JSON.stringify({ ...config, tokenizer: "tokenizer.json" }));
  await writeFile(
    join(endless, "tokenizer.json"),
    JSON.stringify({
      version: "1.0",
      ...{
        truncation: null,
        padding: null,
        added_tokens: [],
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
      },
      normalizer: { type: "Replace", pattern: { Regex: `${"a*".repeat(10)}b` }, content: "x" },
      model: { type: "BPE", vocab: { a: 0, b: 1, "<pad>": 2, "<unk>": 3 }, merges: [], unk_token: "<unk>" },
    }),
  );
  await writeFile(join(endless, "tokenizer_config.json"), JSON.stringify({ pad_token: "<pad>" }));

  const run = { steps: 1_000_000, batchSize: 4, saveEvery: 1_000_000 };
  await writeFile(join(root, "train.json"), JSON.stringify(tinyRun(images, run)));

  const server = createServer(() => {}).listen(0, "127.0.0.1");
  server.unref();
  await once(server, "listening");
  const hub = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const asked = ["--labels", "a,b", "--model"];
  const epochs = ["--epochs", "10000", "--learning-rate", "1e-6"];
  return {
    commands: (out) => ({
      "an inference": ["classify", image, ...asked, slow],
      "vectors of many images": ["embed", images, "--out", join(root, out, "vectors"), "--model", slow],
      "an evaluation": ["eval", "zeroshot", join(root, "classes"), "--model", slow],
      training: ["train", join(root, "train.json"), "--out", join(root, out, "trained")],
      // With the slow model a step would need 56 GB.
      "fine-tuning": [
        "finetune",
        join(root, "classes"),
        "--model",
        model,
        ...epochs,
        "--out",
        join(root, out, "tuned"),
      ],
      "a regular expression that takes long": ["tokenize", "--model", endless],
      "a download that stalls": ["classify", image, ...asked, "some/model"],
      "an input that does not end": ["tokenize"],
    }),
    env: { ...process.env, HF_HOME: join(root, "home"), HF_ENDPOINT: hub },
    input: `${"a".repeat(300)}\n`,
  };
}

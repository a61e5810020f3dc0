import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readSources } from "../architecture.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { drawShapes, tinyRun } from "../train/tiny-run.ts";
import { runPrivately } from "./private-home.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"));
const image = await writeRandomImage(join(root, "image.png"), 1);
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const variable = "ORT_DISABLE_TELEMETRY";

/** 100 kB of arguments: on such a line ONNX Runtime's telemetry overflows the stack. */
const longLine = Array.from({ length: 1000 }, (_, i) => `${i}`.padStart(100, "a"));

type Exports = Record<string, string | Record<string, string>>;
const { exports } = JSON.parse(readFileSync(here("../../package.json"), "utf8")) as { exports: Exports };
const forNode = Object.keys(exports).filter(
  (entry) => entry !== "./browser" && !entry.startsWith("./assets/") && entry !== "./package.json",
);
/** The address of a public entry's module. */
const address = (entry: string) => {
  const target = exports[entry]!;
  return new URL(`../../${typeof target === "string" ? target : target["default"]!}`, import.meta.url).href;
};

const graphProgram = `
  import { float32, input, Session } from ${JSON.stringify(address("./graph"))};
  const session = await Session.compile({ y: input("x", [2]).neg() });
  await session.run({ x: float32([1, 2], [2]) });
  await session[Symbol.asyncDispose]();
`;
const [config, run] = [join(root, "train.json"), join(root, "run")];
await writeFile(config, JSON.stringify(tinyRun(await drawShapes(join(root, "pairs"), 8), { steps: 1, batchSize: 4 })));

/** For each public entry a program that runs ONNX Runtime where the entry can. */
const programs: Readonly<Record<string, string>> = {
  ".": `
    import { loadClip } from ${JSON.stringify(address("."))};
    const clip = await loadClip(${JSON.stringify(model)});
    await clip.classify(${JSON.stringify(image)}, ["a cat", "a dog"]);
    await clip[Symbol.asyncDispose]();
  `,
  "./graph": graphProgram,
  "./text": `import ${JSON.stringify(address("./text"))};`,
  "./image": `import ${JSON.stringify(address("./image"))};`,
  "./train": `
    import { readTrainConfig, train } from ${JSON.stringify(address("./train"))};
    await train(await readTrainConfig(${JSON.stringify(config)}), { out: ${JSON.stringify(run)} });
  `,
  "./models": `import ${JSON.stringify(address("./models"))};`,
  "./evaluate": `
    import { loadClip } from ${JSON.stringify(address("."))};
    import { evaluateZeroShot } from ${JSON.stringify(address("./evaluate"))};
    const clip = await loadClip(${JSON.stringify(model)});
    const samples = [{ image: ${JSON.stringify(image)}, label: 0 }];
    await evaluateZeroShot(clip, { classes: ["a cat", "a dog"], samples });
    await clip[Symbol.asyncDispose]();
  `,
  "./vectors": `
    import { loadClip } from ${JSON.stringify(address("."))};
    import { embed } from ${JSON.stringify(address("./vectors"))};
    const clip = await loadClip(${JSON.stringify(model)});
    for await (const shard of embed(clip, { texts: ["a cat"] }, { out: ${JSON.stringify(join(root, "vectors"))} })) void shard;
    await clip[Symbol.asyncDispose]();
  `,
  "./search": `
    import { loadClip } from ${JSON.stringify(address("."))};
    import { openIndex } from ${JSON.stringify(address("./search"))};
    const clip = await loadClip(${JSON.stringify(model)});
    const index = await openIndex(${JSON.stringify(join(root, "index"))}, clip);
    await index.add(${JSON.stringify(join(root, "pairs"))});
    for await (const hit of index.search("a cat")) void hit;
    await index[Symbol.asyncDispose]();
    await clip[Symbol.asyncDispose]();
  `,
};
const runsSessions = new Set([".", "./graph", "./train", "./evaluate", "./vectors", "./search"]);

let written = 0;
/** Writes a module; returns its path. */
async function program(text: string): Promise<string> {
  const path = join(root, `program-${written++}.mjs`);
  await writeFile(path, text);
  return path;
}

/** A program that runs a module on a worker thread and imports nothing of ours itself. */
const inWorker = async (text: string, options = "{}") =>
  program(`
    import { SHARE_ENV, Worker } from "node:worker_threads";
    new Worker(${JSON.stringify(await program(text))}, ${options});
  `);

describe("ONNX Runtime's telemetry", () => {
  it.each(forNode)("is off before anything loads it: %s, with a command line of 100 kB", async (entry) => {
    const text = programs[entry];
    if (text === undefined) throw new Error(`${entry} is new: give it a program that runs ONNX Runtime`);
    const env = { NODE_OPTIONS: `--import ${here("./telemetry-hook.js")}` };
    const { code, err, left } = await runPrivately(root, [await program(text), ...longLine], env);
    expect({ code, left }, err).toEqual({ code: 0, left: [] });
    const loaded = "ONNX Runtime was loaded with telemetry off\n";
    expect(err.replaceAll(loaded, "")).toBe("");
    if (runsSessions.has(entry)) expect(err).toContain(loaded);
  });

  it("is off on the command line: hundreds of images are classified, and nothing is written", async () => {
    const folder = join(
      root,
      "a-folder-whose-name-is-as-long-as-those-of-people-who-sort-their-images-by-event-and-date",
    );
    const images = await drawShapes(folder, 8);
    const names = Array.from({ length: 400 }, (_, i) => join(images, `${i % 8}.png`));
    const args = ["classify", ...names, "--model", model, "--labels", "a cat,a dog", "--json"];
    const env = { NODE_OPTIONS: `--import ${here("./telemetry-hook.js")}` };
    const { code, out, err, left } = await runPrivately(root, [here("../../bin/clip-ts.js"), ...args], env);
    expect({ code, left }, err).toEqual({ code: 0, left: [] });
    expect((JSON.parse(out) as { results: unknown[] }).results).toHaveLength(400);
  });

  it.each([
    ["with a copy of the environment", "{}"],
    ["with an environment of its own", '{ env: { PATH: "" } }'],
    ["with the environment of the process", "{ env: SHARE_ENV }"],
  ])("is off where the library is first imported on a worker %s", async (_, options) => {
    const args = [await inWorker(graphProgram, options), ...longLine];
    expect(await runPrivately(root, args)).toEqual({ code: 0, out: "", err: "", left: [] });
  });

  it("is off where the user imports ONNX Runtime first, and in sessions of the user's own", async () => {
    const ort = new URL("../../node_modules/onnxruntime-node/dist/index.js", import.meta.url).href;
    const text = `
      import * as ort from ${JSON.stringify(ort)};
      import { buildModel, input } from ${JSON.stringify(address("./graph"))};
      await ort.default.InferenceSession.create(buildModel({ y: input("x", [2], "float32").neg() }).bytes);
    `;
    const { code, err, left } = await runPrivately(root, [await program(text), ...longLine]);
    expect({ code, err, left }).toEqual({ code: 0, err: "", left: [] });
  });

  // Without koffi a worker cannot reach the process's environment.
  it.skipIf(platform() === "win32")("is said to be on, with the way out, where it cannot be switched off", async () => {
    const env = { NODE_OPTIONS: `--import ${here("./without-koffi.js")}` };
    const { code, err } = await runPrivately(root, [await inWorker(graphProgram)], env);
    expect(code).toBe(0);
    expect(err).toContain(`[CLIP_TELEMETRY] Warning: ONNX Runtime's telemetry is on in this process`);
    expect(err.match(/Warning:/g)).toHaveLength(1);
    expect(await runPrivately(root, [await inWorker(graphProgram)], { ...env, [variable]: "1" })).toMatchObject({
      err: "",
    });
    // The main thread needs no koffi.
    expect(await runPrivately(root, [await program(graphProgram)], env)).toMatchObject({ code: 0, err: "", left: [] });
  });

  it.each(["0", ""])("stays as the user set it: %j", async (value) => {
    const text = `${graphProgram} console.log(JSON.stringify(process.env["${variable}"]));`;
    const { code, out, left } = await runPrivately(root, [await program(text)], { [variable]: value });
    expect({ code, out }).toEqual({ code: 0, out: `${JSON.stringify(value)}\n` });
    // So these tests would see what it writes.
    if (platform() === "linux") expect(left).toContain("cache/Microsoft");
  });

  it("has one module that can load it", () => {
    const sources = readSources(here("../../src"));
    const loading = [...sources].filter(([, text]) =>
      /from "onnxruntime-node"|import\("onnxruntime-node"\)/.test(text),
    );
    expect(loading.map(([path]) => path).filter((path) => !path.endsWith(".test.ts"))).toEqual([
      "engine/runtime/onnxruntime.ts",
    ]);
    expect(sources.get("engine/runtime/onnxruntime.ts")).toMatch(
      /^(\/\/.*\n)*import .* from "\.\.\/threads\/telemetry\.ts";\n/,
    );
  });
});

/**
 * Resident memory that a loaded ViT-B/32 (random weights) takes, against 4 bytes a parameter: both towers loaded and run
 * once, from each kind of file, each in a process of its own. Fails beyond 1.15 of it.
 *
 *   npx tsx scripts/load-memory.ts [--json]
 *
 * PyTorch's file is left out, with a line that says so, where Debian's python3-torch is not installed.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { clipLayout } from "../src/model/checkpoints/names/layouts.ts";
import { saveParameters } from "../src/model/checkpoints/save.ts";
import { collect } from "../src/model/embedding/encoder.ts";
import { saveModel } from "../src/model/pretrained/save-model.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { countParameters, initializeParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { ClipTokenizer } from "../src/inputs/text/tokenizer.ts";
import { loadClip } from "../src/model/zero-shot/clip.ts";

const allowed = 1.15;
const config = clipConfigs["ViT-B-32-quickgelu"];
const wanted = 4 * countParameters(clipParameters(config));
const image = fileURLToPath(new URL("../assets/samples/rocket.png", import.meta.url));

/** Writes the tensors of a safetensors file with `torch.save`. */
const toTorch = `
import json, sys, torch
data = open(sys.argv[1], "rb").read()
start = 8 + int.from_bytes(data[:8], "little")
header = json.loads(data[8:start])
header.pop("__metadata__", None)
def tensor(entry):
    first, last = entry["data_offsets"]
    values = torch.frombuffer(bytearray(data[start + first : start + last]), dtype=torch.float32)
    return values.reshape(entry["shape"]).clone()
torch.save({name: tensor(entry) for name, entry in header.items()}, sys.argv[2])
`;

const { values } = parseArgs({ options: { json: { type: "boolean", default: false }, child: { type: "string" } } });
if (values.child) console.log(await residentBytes(values.child));
else await compare();

/** What loading and running both towers once adds to this process. */
async function residentBytes(model: string): Promise<number> {
  // The vocabulary is everybody's.
  await ClipTokenizer.published();
  const before = await settled();
  await using clip = await loadClip(model, model.endsWith(".pt") ? { activation: config.activation } : {});
  await collect(clip.encodeImages([image]));
  await collect(clip.encodeTexts(["a photo of a rocket"]));
  return (await settled()) - before;
}

/** Resident memory after the garbage is gone, as far as it can be called. */
async function settled(): Promise<number> {
  globalThis.gc?.();
  await sleep(500);
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

async function compare(): Promise<void> {
  const run = promisify(execFile);
  const folder = await mkdtemp(join(tmpdir(), "clip-ts-load-"));
  try {
    const parameters = initializeParameters(clipParameters(config), 1);
    const model = { config, preprocess: clipPreprocess, tokenizer: await ClipTokenizer.published(), parameters };
    const files: Record<string, string> = {};
    for (const dtype of ["F32", "F16"] as const) {
      files[`safetensors, ${dtype}`] = join(folder, dtype);
      await saveModel(join(folder, dtype), { ...model, dtype });
    }
    const plain = join(folder, "openai.safetensors");
    await saveParameters(plain, parameters, { layout: clipLayout("openai", config) });
    const archive = join(folder, "model.pt");
    const torch = await run("/usr/bin/python3", ["-c", toTorch, plain, archive]).catch(() => undefined);
    if (torch) files["PyTorch's torch.save, F32"] = archive;
    else console.error("PyTorch's file is left out: python3-torch is not installed");
    const rows = [];
    for (const [what, path] of Object.entries(files)) {
      const { stdout } = await run(process.execPath, [
        ...["--expose-gc", "--import", "tsx", fileURLToPath(import.meta.url), "--child", path],
      ]);
      rows.push({ what, bytes: Number(stdout), ratio: Number(stdout) / wanted });
    }
    const machine = `${cpus().length} × ${cpus()[0]!.model.trim()}, Node ${process.version}`;
    if (values.json) console.log(JSON.stringify({ machine, wanted, rows }));
    else {
      console.log(
        `${machine}; 4 bytes × ${countParameters(clipParameters(config)).toLocaleString("en")} parameters: ${(wanted / 1e6).toFixed(0)} MB`,
      );
      for (const { what, bytes, ratio } of rows)
        console.log(`${what.padEnd(28)}${(bytes / 1e6).toFixed(0).padStart(6)} MB${ratio.toFixed(2).padStart(7)}`);
    }
    if (rows.some(({ ratio }) => ratio > allowed)) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true });
  }
}

import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { openSafetensors, readFloats, writeSafetensors } from "../checkpoints/index.ts";
import { writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { float32, type TensorData } from "../core/tensor-data.ts";
import type { EngineState } from "./engine.ts";
import type { SkippedImage } from "./pairs.ts";

/** A line of `metrics.jsonl`: nothing in it depends on the machine's speed, so a resumed run writes the same bytes. */
export type MetricsLine =
  | {
      /** Updates made, this one included. */
      readonly step: number;
      readonly epoch: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly gradientNorm: number;
      readonly logitScale: number;
    }
  | { readonly step: number; readonly validation: ValidationScores };

/** Zero-shot accuracy: the share of pictures whose caption is the best, or among the best five, of all captions. */
export interface ValidationScores {
  readonly top1: number;
  readonly top5: number;
  /** Pictures. */
  readonly count: number;
  /** Captions to choose among. */
  readonly classes: number;
}

/** Names of what a run leaves in its folder. */
export const runFiles = {
  config: "train.json",
  metrics: "metrics.jsonl",
  checkpoint: "checkpoint.safetensors",
  model: "model",
  report: "report.html",
  skipped: "skipped.jsonl",
  failure: "failure.json",
} as const;

/**
 * The folder of a training run: its configuration, the metrics so far, the last checkpoint. A run goes on exactly from
 * the last checkpoint, whenever it was stopped: metrics written after it are cut off and written again.
 */
export class RunFolder implements AsyncDisposable {
  readonly path: string;
  readonly #metrics: FileHandle;
  #metricsBytes: number;
  readonly #resumed: boolean;

  private constructor(path: string, metrics: FileHandle, saved: SavedRun | undefined) {
    [this.path, this.#metrics, this.#resumed] = [path, metrics, saved !== undefined];
    this.#metricsBytes = saved?.metricsBytes ?? 0;
  }

  /**
   * Opens a folder for a run, and gives the state to go on from, if there is one.
   *
   * @param config - the run's configuration; a run is not continued with another.
   * @throws {ClipError} `CLIP_TRAIN` if the folder holds a run that is not to be resumed, or of another configuration;
   *   `CLIP_CHECKPOINT` if the checkpoint is damaged; `CLIP_FILE` if the folder cannot be written.
   */
  static async open(
    path: string,
    config: object,
    { resume }: { resume: boolean },
  ): Promise<{ folder: RunFolder; state?: EngineState }> {
    await mkdir(path, { recursive: true }).catch((cause: Error) => {
      throw new ClipError("CLIP_FILE", `cannot make the folder ${path}: ${cause.message}`, { cause });
    });
    const checkpoint = join(path, runFiles.checkpoint);
    const exists = await stat(checkpoint).then(
      () => true,
      () => false,
    );
    if (exists && !resume) {
      throw new ClipError(
        "CLIP_TRAIN",
        `${path} holds a run already; go on with it (--resume), or name another folder`,
      );
    }
    const saved = exists ? await readCheckpoint(checkpoint) : undefined;
    if (saved && saved.fingerprint !== fingerprint(config)) {
      const kept = join(path, runFiles.config);
      throw new ClipError(
        "CLIP_TRAIN",
        `${path} holds a run of another configuration, see ${kept}; resume with that, or name another folder`,
      );
    }
    if (!saved) await writeFileAtomic(join(path, runFiles.config), [`${JSON.stringify(config, null, 2)}\n`]);
    const metrics = await open(join(path, runFiles.metrics), saved ? "r+" : "w");
    await metrics.truncate(saved?.metricsBytes ?? 0);
    const folder = new RunFolder(path, metrics, saved);
    return { folder, ...(saved && { state: saved.state }) };
  }

  /** Appends a line; it is sure to stay from the next checkpoint on. */
  async writeMetrics(line: MetricsLine): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    await this.#metrics.write(bytes, 0, bytes.length, this.#metricsBytes);
    this.#metricsBytes += bytes.length;
  }

  /**
   * Replaces the checkpoint, whole or not at all.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full; the one before is still good then.
   */
  async saveCheckpoint(state: EngineState, config: object): Promise<void> {
    // First what the checkpoint counts on, then the checkpoint.
    await this.#metrics.sync();
    const tensors = new Map<string, TensorData>();
    const put = (group: string, values: ReadonlyMap<string, Float32Array>) => {
      for (const [path, array] of values) tensors.set(`${group}.${path}`, float32(array, [array.length]));
    };
    put("parameter", state.parameters);
    put("first", new Map(Array.from(state.moments, ([path, { first }]) => [path, first])));
    put("second", new Map(Array.from(state.moments, ([path, { second }]) => [path, second])));
    if (state.average) put("average", state.average);
    await writeSafetensors(join(this.path, runFiles.checkpoint), tensors, {
      metadata: {
        steps: String(state.steps),
        metricsBytes: String(this.#metricsBytes),
        fingerprint: fingerprint(config),
      },
    });
  }

  /** Lists the pictures left out, those of earlier stretches of the run among them, and gives the whole list. */
  async writeSkipped(skipped: readonly SkippedImage[]): Promise<readonly SkippedImage[]> {
    const path = join(this.path, runFiles.skipped);
    const before = this.#resumed ? await readFile(path, "utf8").catch(() => "") : "";
    const earlier = before
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as SkippedImage);
    const all = [...new Map([...earlier, ...skipped].map((skip) => [skip.image, skip])).values()];
    await writeFileAtomic(
      path,
      all.map((skip) => `${JSON.stringify(skip)}\n`),
    );
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#metrics.close();
  }
}

interface SavedRun {
  readonly state: EngineState;
  readonly metricsBytes: number;
  readonly fingerprint: string;
}

async function readCheckpoint(path: string): Promise<SavedRun> {
  const { tensors, metadata } = await openSafetensors(path);
  const group = async (name: string) => {
    const values = new Map<string, Float32Array>();
    for (const [key, tensor] of tensors) {
      if (key.startsWith(`${name}.`)) values.set(key.slice(name.length + 1), (await readFloats(tensor)).data);
    }
    return values;
  };
  const [steps, metricsBytes] = [Number(metadata.get("steps")), Number(metadata.get("metricsBytes"))];
  const [first, second, average] = [await group("first"), await group("second"), await group("average")];
  if (!Number.isSafeInteger(steps) || !Number.isSafeInteger(metricsBytes) || first.size !== second.size) {
    throw new ClipError("CLIP_CHECKPOINT", `${path} is no checkpoint of a training run; remove it to start anew`);
  }
  const moments = new Map(Array.from(first, ([key, values]) => [key, { first: values, second: second.get(key)! }]));
  const parameters = await group("parameter");
  return {
    state: { steps, parameters, moments, average: average.size > 0 ? average : undefined },
    metricsBytes,
    fingerprint: metadata.get("fingerprint") ?? "",
  };
}

function fingerprint(config: object): string {
  return createHash("sha256").update(JSON.stringify(config)).digest("hex");
}

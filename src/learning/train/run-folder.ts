import { createHash } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bytesOf, type DeferredTensor, writeDeferred } from "../../model/checkpoints/write-safetensors.ts";
import { openSafetensors } from "../../model/checkpoints/safetensors.ts";
import { readFloats } from "../../model/checkpoints/stored-tensor.ts";
import { cannotWrite, makeFolder, removeTemporaries, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { sizeOf } from "../../core/files.ts";
import { undefinedIfMissing } from "../../core/missing-file.ts";
import type { Lock } from "../../core/lock.ts";
import { product } from "../../core/shape.ts";
import type { EngineState } from "./engine/engine-state.ts";
import type { Sample, SkippedImage } from "../../inputs/data/sources/samples.ts";

/** A line of `metrics.jsonl`: nothing in it depends on the machine's speed, so a resumed run writes the same bytes. */
export type MetricsLine =
  | {
      /** Updates made, this one included. */
      readonly step: number;
      readonly epoch: number;
      readonly loss: number;
      /** What it is made of where a decoder learns to write captions; the latter before its weight. */
      readonly contrastiveLoss?: number;
      readonly captionLoss?: number;
      readonly learningRate: number;
      readonly gradientNorm: number;
      readonly logitScale: number;
    }
  | { readonly step: number; readonly validation: ValidationScores };

/** Zero-shot accuracy: the share of images whose caption is the best, or among the best five, of all captions. */
export interface ValidationScores {
  readonly top1: number;
  readonly top5: number;
  /** Images. */
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
  lora: "lora",
  report: "report.html",
  skipped: "skipped.jsonl",
  failure: "failure.json",
  tensorboard: "tensorboard",
  lock: "run.lock",
} as const;

/** What makes a run the one that it is: a run is not continued with another configuration or other data. */
export interface RunIdentity {
  readonly config: object;
  /** What the model is apart from its weights, wherever it comes from. */
  readonly model: object;
  /** All that the run reads, in order. */
  readonly samples: readonly Sample[];
}

/**
 * The folder of a training run: its configuration, the metrics so far, the last checkpoint. A run goes on exactly from
 * the last checkpoint, whenever it was stopped: metrics written after it are cut off and written again.
 */
export class RunFolder implements AsyncDisposable {
  readonly path: string;
  readonly #metrics: FileHandle;
  #metricsBytes: number;
  readonly #record: RunRecord;
  readonly #lock: Lock | undefined;
  /** As they are listed; undefined before the first list. */
  #skipped: readonly SkippedImage[] | undefined;

  private constructor(
    path: string,
    metrics: FileHandle,
    record: RunRecord,
    saved: SavedRun | undefined,
    lock: Lock | undefined,
  ) {
    [this.path, this.#metrics, this.#record, this.#lock] = [path, metrics, record, lock];
    [this.#metricsBytes, this.#skipped] = [saved?.metricsBytes ?? 0, saved?.skipped];
  }

  /**
   * Opens a folder for a run, and gives the state to go on from, if there is one.
   *
   * @param options.lock - of the folder: once it is lost, nothing more is written.
   * @throws {ClipError} `CLIP_TRAIN` if the folder holds a run that is not to be resumed, or another one;
   *   `CLIP_CHECKPOINT` if the checkpoint is damaged, or metrics that it counts on are gone; `CLIP_FILE` if the folder
   *   cannot be written.
   */
  static async open(
    path: string,
    identity: RunIdentity,
    { resume, lock }: { resume: boolean; lock?: Lock | undefined },
  ): Promise<{ folder: RunFolder; state?: EngineState }> {
    await makeFolder(path);
    const checkpoint = join(path, runFiles.checkpoint);
    const exists = (await sizeOf(checkpoint)) !== undefined;
    if (exists && !resume) {
      throw new ClipError(
        "CLIP_TRAIN",
        `${path} holds a run already; go on with it (--resume), or name another folder`,
      );
    }
    const saved = exists ? await readCheckpoint(checkpoint) : undefined;
    const own = recordOf(identity);
    const changes = saved ? changesOf(saved.record, own) : [];
    if (changes.length > 0) {
      const kept = join(path, runFiles.config);
      throw new ClipError(
        "CLIP_TRAIN",
        `${path} holds another run: ${changes.join("; ")}. Resume with ${kept} and the pairs as they were; or begin a new ` +
          `run in another folder, from this one's model where it should go on ("init": "${join(path, runFiles.model)}")`,
      );
    }
    for (const folder of [path, join(path, runFiles.model), join(path, runFiles.lora)]) await removeTemporaries(folder);
    if (!saved) await writeFileAtomic(join(path, runFiles.config), [`${JSON.stringify(identity.config, null, 2)}\n`]);
    const metrics = await openMetrics(join(path, runFiles.metrics), saved?.metricsBytes ?? 0);
    const folder = new RunFolder(path, metrics, own, saved, lock);
    return { folder, ...(saved && { state: saved.state }) };
  }

  /** @throws {ClipError} `CLIP_FILE` if another process may be writing here. */
  async assertHeld(): Promise<void> {
    await this.#lock?.assertHeld();
  }

  /**
   * Appends a line; it is sure to stay from the next checkpoint on.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full; the checkpoint is not touched.
   */
  async writeMetrics(line: MetricsLine): Promise<void> {
    await this.assertHeld();
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    await this.#metrics.appendFile(bytes).catch((cause: Error) => {
      throw cannotWrite(join(this.path, runFiles.metrics), cause, "the run can go on from its last checkpoint");
    });
    this.#metricsBytes += bytes.length;
  }

  /**
   * Replaces the checkpoint, whole or not at all.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full; the one before is still good then.
   */
  async saveCheckpoint(state: EngineState): Promise<void> {
    await this.assertHeld();
    // First what the checkpoint counts on, then the checkpoint.
    await this.#metrics.sync().catch((cause: Error) => {
      throw cannotWrite(join(this.path, runFiles.metrics), cause, "the checkpoint before is unchanged");
    });
    const tensors = Array.from(state.lengths, ([name, length]): [string, DeferredTensor] => [
      name,
      { dtype: "F32", shape: [length], bytes: async () => bytesOf(await state.read(name)) },
    ]);
    await writeDeferred(join(this.path, runFiles.checkpoint), new Map(tensors), {
      metadata: {
        steps: String(state.steps),
        metricsBytes: String(this.#metricsBytes),
        ...this.#record,
      },
    });
  }

  /**
   * Lists the images left out, by path, those of earlier stretches of the run among them, and gives the whole list.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full.
   */
  async writeSkipped(skipped: readonly SkippedImage[]): Promise<readonly SkippedImage[]> {
    const byPath = new Map([...skipped, ...(this.#skipped ?? [])].map((skip) => [skip.image, skip]));
    if (byPath.size === this.#skipped?.length) return this.#skipped;
    await this.assertHeld();
    const all = [...byPath.values()].sort((a, b) => (a.image < b.image ? -1 : 1));
    const lines = all.map((skip) => `${JSON.stringify(skip)}\n`);
    await writeFileAtomic(join(this.path, runFiles.skipped), lines);
    return (this.#skipped = all);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#metrics.close();
  }
}

interface SavedRun {
  readonly state: EngineState;
  readonly metricsBytes: number;
  readonly record: RunRecord;
  readonly skipped: readonly SkippedImage[] | undefined;
}

async function readCheckpoint(path: string): Promise<SavedRun> {
  const { tensors, metadata } = await openSafetensors(path);
  const [steps, metricsBytes] = [Number(metadata.get("steps")), Number(metadata.get("metricsBytes"))];
  const [config, model, pairs, data] = ["config", "model", "pairs", "data"].map((key) => metadata.get(key));
  const isOfRun = config !== undefined && model !== undefined && pairs !== undefined && data !== undefined;
  if (!isOfRun || !Number.isSafeInteger(steps) || !Number.isSafeInteger(metricsBytes)) {
    throw new ClipError("CLIP_CHECKPOINT", `${path} is no checkpoint of a training run; remove it to start anew`);
  }
  const lengths = new Map(Array.from(tensors, ([name, { shape }]) => [name, Number(product(shape))]));
  const read = async (name: string) => (await readFloats(tensors.get(name)!)).data;
  return {
    state: { steps, lengths, read },
    metricsBytes,
    record: { config, model, pairs, data },
    skipped: await readSkipped(join(dirname(path), runFiles.skipped)),
  };
}

async function readSkipped(path: string): Promise<SkippedImage[] | undefined> {
  const text = await undefinedIfMissing(path, readFile(path, "utf8"));
  const lines = text?.split("\n").filter((line) => line !== "");
  try {
    return lines?.map((line) => JSON.parse(line) as SkippedImage);
  } catch (cause) {
    throw new ClipError("CLIP_FILE", `${path} has a line that is no JSON; remove the file, or mend it`, { cause });
  }
}

/** Settings that a run may change on its way: its curve does not depend on them. */
const changeable = new Set(["workers", "saveEvery"]);

/** A run's identity as a checkpoint keeps it. */
interface RunRecord extends Readonly<Record<string, string>> {
  /** JSON of what the curve depends on. */
  readonly config: string;
  readonly model: string;
  /** How many. */
  readonly pairs: string;
  /** A digest of them. */
  readonly data: string;
}

function recordOf({ config, model, samples }: RunIdentity): RunRecord {
  const hash = createHash("sha256");
  // Not where its bytes lie: a shard may be fetched or unpacked to another place.
  for (const { image, captions, synthetic } of samples) hash.update(JSON.stringify({ image, captions, synthetic }));
  const ofTheCurve = (key: string, value: unknown) => (changeable.has(key) ? undefined : value);
  return {
    config: JSON.stringify(config, ofTheCurve),
    model: JSON.stringify(model),
    pairs: String(samples.length),
    data: hash.digest("hex"),
  };
}

/** Equal for runs whose curve is the same. */
export function fingerprintOf(identity: RunIdentity): string {
  return JSON.stringify(recordOf(identity));
}

/** What of a run is not as it was, in words. */
function changesOf(was: RunRecord, is: RunRecord): string[] {
  const settings = ({ config, model }: RunRecord) =>
    new Map([...leaves(JSON.parse(model), ""), ...leaves(JSON.parse(config), "")]);
  const [before, now] = [settings(was), settings(is)];
  const changes = [...new Set([...before.keys(), ...now.keys()])]
    .filter((key) => before.get(key) !== now.get(key))
    .map((key) => `${key} was ${before.get(key) ?? "not set"} and is ${now.get(key) ?? "not set"}`);
  if (was.pairs !== is.pairs)
    changes.push(`there were ${was.pairs} pairs, those for validation among them, and are ${is.pairs}`);
  else if (was.data !== is.data) changes.push(`some of the ${is.pairs} pairs have other images or captions`);
  return changes;
}

/** The settings in a JSON value, as text, by where they are: `augment.blur`. */
function leaves(value: unknown, path: string): [string, string][] {
  if (typeof value !== "object" || value === null) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === "" ? key : `${path}.${key}`));
}

/** Opens the metrics to append after their first so many bytes. */
async function openMetrics(path: string, bytes: number): Promise<FileHandle> {
  const met = (await sizeOf(path)) ?? 0;
  if (met < bytes) {
    const both = `${path} has ${met} bytes, the checkpoint counts on ${bytes}`;
    throw new ClipError("CLIP_CHECKPOINT", `${both}; put the file back, or name another folder to start anew`);
  }
  try {
    const metrics = await open(path, "a");
    await metrics.truncate(bytes);
    return metrics;
  } catch (cause) {
    throw cannotWrite(path, cause, "nothing was changed");
  }
}

import { createHash } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { rawBytes, type DeferredTensor, writeDeferred } from "../../model/checkpoints/write-safetensors.ts";
import { openSafetensors } from "../../model/checkpoints/safetensors.ts";
import { readFloats } from "../../model/checkpoints/stored-tensor.ts";
import { cannotWrite, makeFolder, removeTemporaries, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { fileSize } from "../../core/files.ts";
import { undefinedIfMissing } from "../../core/missing-file.ts";
import type { Lock } from "../../core/lock.ts";
import { product } from "../../core/shape.ts";
import type { SavedState } from "./step/trainer-state.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";

/** A line of `metrics.jsonl`. It has no timings, so that a resumed run writes the same bytes. */
export type MetricsLine =
  | {
      /** Updates made, this one included. */
      readonly step: number;
      readonly epoch: number;
      readonly loss: number;
      /** With a decoder, the two parts of the loss; `captionLoss` before its weight. */
      readonly contrastiveLoss?: number;
      readonly captionLoss?: number;
      readonly learningRate: number;
      readonly gradientNorm: number;
      readonly logitScale: number;
    }
  | { readonly step: number; readonly validation: ValidationScores };

/** Zero-shot accuracy: the share of images whose own caption ranks first, or among the first five, of all captions. */
export interface ValidationScores {
  readonly top1: number;
  readonly top5: number;
  /** Number of images. */
  readonly count: number;
  /** Number of captions to choose from. */
  readonly classes: number;
}

/** Names of the files and folders in a run's folder. */
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

/** The configuration and data of a run; it cannot be resumed with others. */
export interface RunIdentity {
  readonly config: object;
  /** The model without its weights. */
  readonly model: object;
  /** All data of the run, in order. */
  readonly samples: readonly Sample[];
}

/**
 * The folder of a training run: configuration, metrics, last checkpoint. A run resumes exactly from its last checkpoint, whenever
 * it was stopped: later metrics are cut off and written again.
 */
export class RunFolder implements AsyncDisposable {
  readonly path: string;
  /** The state to resume from; undefined in a new run. */
  readonly saved: SavedState | undefined;
  readonly #parts: FolderParts;
  #metricsBytes: number;
  /** The images listed in the file; undefined before it exists. */
  #skipped: readonly SkippedImage[] | undefined;

  private constructor(path: string, saved: SavedRun | undefined, parts: FolderParts) {
    this.path = path;
    this.saved = saved?.state;
    this.#metricsBytes = saved?.metricsBytes ?? 0;
    this.#skipped = saved?.skipped;
    this.#parts = parts;
  }

  /**
   * Opens a folder for a run, new or resumed.
   *
   * @param options.lock - the folder's lock: once it is lost, nothing more is written.
   * @throws {ClipError} `CLIP_TRAIN` if the folder holds another run, or one and `resume` is false; `CLIP_CHECKPOINT` if the
   *   checkpoint is damaged or metrics are missing; `CLIP_FILE` if the folder cannot be written.
   */
  static async open(
    path: string,
    identity: RunIdentity,
    { resume, lock }: { resume: boolean; lock?: Lock | undefined },
  ): Promise<RunFolder> {
    await makeFolder(path);
    const record = recordOf(identity);
    const saved = await readSavedRun(path, record, resume);
    for (const folder of [path, join(path, runFiles.model), join(path, runFiles.lora)]) await removeTemporaries(folder);
    if (!saved) await writeFileAtomic(join(path, runFiles.config), [`${JSON.stringify(identity.config, null, 2)}\n`]);
    const metrics = await openMetrics(join(path, runFiles.metrics), saved?.metricsBytes ?? 0);
    return new RunFolder(path, saved, { metrics, record, lock });
  }

  /** @throws {ClipError} `CLIP_FILE` if the lock was lost: another process may be writing here. */
  async assertHeld(): Promise<void> {
    await this.#parts.lock?.assertHeld();
  }

  /**
   * Appends a line; it is permanent from the next checkpoint on.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full; the checkpoint is unchanged.
   */
  async writeMetrics(line: MetricsLine): Promise<void> {
    await this.assertHeld();
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    await this.#parts.metrics.appendFile(bytes).catch((cause: Error) => {
      throw cannotWrite(join(this.path, runFiles.metrics), cause, "resume the run from its last checkpoint");
    });
    this.#metricsBytes += bytes.length;
  }

  /**
   * Replaces the checkpoint atomically.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full; the previous checkpoint is kept.
   */
  async saveCheckpoint(state: SavedState): Promise<void> {
    await this.assertHeld();
    // The metrics first: the checkpoint records their length.
    await this.#parts.metrics.sync().catch((cause: Error) => {
      throw cannotWrite(join(this.path, runFiles.metrics), cause, "the previous checkpoint is unchanged");
    });
    const tensors = Array.from(state.lengths, ([name, length]): [string, DeferredTensor] => [
      name,
      { dtype: "F32", shape: [length], bytes: async () => rawBytes(await state.read(name)) },
    ]);
    await writeDeferred(join(this.path, runFiles.checkpoint), new Map(tensors), {
      metadata: { steps: String(state.steps), metricsBytes: String(this.#metricsBytes), ...this.#parts.record },
    });
  }

  /**
   * Writes the list of skipped images, sorted by path, together with those from before the run was resumed; returns all of them.
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
    await this.#parts.metrics.close();
  }
}

interface FolderParts {
  readonly metrics: FileHandle;
  readonly record: RunRecord;
  readonly lock: Lock | undefined;
}

interface SavedRun {
  readonly state: SavedState;
  readonly metricsBytes: number;
  readonly record: RunRecord;
  readonly skipped: readonly SkippedImage[] | undefined;
}

/** The saved run in a folder; undefined in a new one. Refuses to resume a run unasked, or with another configuration. */
async function readSavedRun(path: string, record: RunRecord, resume: boolean): Promise<SavedRun | undefined> {
  const checkpoint = join(path, runFiles.checkpoint);
  if ((await fileSize(checkpoint)) === undefined) return undefined;
  if (!resume)
    throw new ClipError("CLIP_TRAIN", `${path} holds a run already; resume it (--resume) or use another folder`);
  const saved = await readCheckpoint(checkpoint);
  const changes = changesOf(saved.record, record);
  if (changes.length === 0) return saved;
  throw new ClipError(
    "CLIP_TRAIN",
    `${path} holds another run: ${changes.join("; ")}. Resume with ${join(path, runFiles.config)} and the same pairs; or start a ` +
      `new run in another folder, from this run's model if you like ("init": "${join(path, runFiles.model)}")`,
  );
}

async function readCheckpoint(path: string): Promise<SavedRun> {
  const { tensors, metadata } = await openSafetensors(path);
  const parsed = metadataSchema.safeParse(Object.fromEntries(metadata));
  if (!parsed.success)
    throw new ClipError("CLIP_CHECKPOINT", `${path} is not the checkpoint of a training run; remove it to start over`);
  const { steps, metricsBytes, ...record } = parsed.data;
  const lengths = new Map(Array.from(tensors, ([name, { shape }]) => [name, Number(product(shape))]));
  const read = async (name: string) => (await readFloats(tensors.get(name)!)).data;
  return {
    state: { steps, lengths, read },
    metricsBytes,
    record,
    skipped: await readSkipped(join(dirname(path), runFiles.skipped)),
  };
}

async function readSkipped(path: string): Promise<SkippedImage[] | undefined> {
  const text = await undefinedIfMissing(path, readFile(path, "utf8"));
  const lines = text?.split("\n").filter((line) => line !== "");
  try {
    return lines?.map((line) => JSON.parse(line) as SkippedImage);
  } catch (cause) {
    throw new ClipError("CLIP_FILE", `${path} has a line that is not JSON; repair or remove the file`, { cause });
  }
}

/** Keys that may differ when a run is resumed: the metrics do not depend on them. */
const changeable = new Set(["workers", "saveEvery"]);

/** A run's identity as a checkpoint stores it: its settings as JSON, the number of its pairs and their digest. */
const recordSchema = z.object({ config: z.string(), model: z.string(), pairs: z.string(), data: z.string() });
type RunRecord = z.output<typeof recordSchema>;

const wholeNumber = z.coerce.number().int();
const metadataSchema = recordSchema.extend({ steps: wholeNumber, metricsBytes: wholeNumber });

/** Equal for runs with the same metrics. */
export function recordOf({ config, model, samples }: RunIdentity): RunRecord {
  const hash = createHash("sha256");
  // Without the place of its bytes: a shard may be downloaded or unpacked elsewhere.
  for (const { image, captions, synthetic } of samples) hash.update(JSON.stringify({ image, captions, synthetic }));
  const fixedOnly = (key: string, value: unknown) => (changeable.has(key) ? undefined : value);
  return {
    config: JSON.stringify(config, fixedOnly),
    model: JSON.stringify(model),
    pairs: String(samples.length),
    data: hash.digest("hex"),
  };
}

/** The differences between two runs, in words. */
function changesOf(was: RunRecord, is: RunRecord): string[] {
  const settings = ({ config, model }: RunRecord) =>
    new Map([...leaves(JSON.parse(model), ""), ...leaves(JSON.parse(config), "")]);
  const before = settings(was);
  const now = settings(is);
  const changes = [...new Set([...before.keys(), ...now.keys()])]
    .filter((key) => before.get(key) !== now.get(key))
    .map((key) => `${key} was ${before.get(key) ?? "not set"} and is now ${now.get(key) ?? "not set"}`);
  if (was.pairs !== is.pairs)
    changes.push(`there were ${was.pairs} pairs, validation included, and now there are ${is.pairs}`);
  else if (was.data !== is.data) changes.push(`some of the ${is.pairs} pairs have other images or captions`);
  return changes;
}

/** The settings in a JSON value as text, by path: `augment.blur`. */
function leaves(value: unknown, path: string): [string, string][] {
  if (typeof value !== "object" || value === null) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === "" ? key : `${path}.${key}`));
}

/** Opens the metrics for appending, cut to a length. */
async function openMetrics(path: string, bytes: number): Promise<FileHandle> {
  const size = (await fileSize(path)) ?? 0;
  if (size < bytes) {
    const both = `${path} has ${size} bytes, but the checkpoint expects ${bytes}`;
    throw new ClipError("CLIP_CHECKPOINT", `${both}; restore the file, or start over in another folder`);
  }
  try {
    const metrics = await open(path, "a");
    await metrics.truncate(bytes);
    return metrics;
  } catch (cause) {
    throw cannotWrite(path, cause, "nothing was changed");
  }
}

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { abortSignal, callback, checkOptions, type OptionKinds, wholeNumber } from "../../core/options.ts";
import { Random } from "../../core/random.ts";
import { mapInOrder } from "../../core/streams.ts";
import { endingOf, kindByContent, kindByName } from "./image-files.ts";
import { orSkipped, readImageBytes } from "./image-location.ts";
import { sniffImage } from "../image/sniff.ts";
import type { SkippedImage } from "./image-files.ts";
import type { Pairs, Sample } from "./sources/samples.ts";
import { captionBytes, isShardName } from "./sources/shards.ts";
import { tarBytes, type TarContent } from "./tar.ts";

export interface PackOptions {
  readonly shardSize: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of pairs written. */
  readonly onProgress?: ((pairs: number) => void) | undefined;
}

const packKinds: OptionKinds<PackOptions> = { shardSize: wholeNumber(1), signal: abortSignal, onProgress: callback };

export interface PackedShard {
  readonly path: string;
  readonly pairs: number;
  readonly bytes: number;
}

/**
 * Writes pairs as webdataset shards, `000000.tar` and so on: unchanged image files, captions as the lines of a `.txt`, a synthetic
 * caption as a `.synthetic.txt`. The pairs are shuffled with a fixed seed, so that each shard is a random sample.
 *
 * @param skipped - receives the images that cannot be read or decoded.
 * @throws {ClipError} `CLIP_USAGE` if the folder already has shards; `CLIP_DATA` if no image is readable; `CLIP_FILE` if the folder
 *   cannot be written: earlier shards are then complete, the current one is removed.
 */
export async function* packShards(
  { samples }: Pairs,
  folder: string,
  skipped: SkippedImage[],
  options: PackOptions,
): AsyncGenerator<PackedShard> {
  checkOptions("packShards", options, packKinds, ["shardSize"]);
  const { shardSize, signal, onProgress } = options;
  const present = await readdir(folder).catch(() => []); // writing will report the error
  if (present.some(isShardName))
    throw new ClipError("CLIP_USAGE", `${folder} has shards already; name an empty folder`);
  const before = skipped.length;
  const readable = readableSamples(samples, skipped);
  let next = await readable.next();
  if (next.done) {
    const [first] = skipped.slice(before);
    const met = first
      ? ` (${first.reason.includes(first.image) ? first.reason : `${first.image}: ${first.reason}`})`
      : "";
    throw new ClipError("CLIP_DATA", `none of ${samples.length} images can be packed${met}`);
  }
  await makeFolder(folder);
  let written = 0;
  for (let shard = 0; !next.done; shard++) {
    let [pairs, bytes] = [0, 0];
    async function* files(): AsyncGenerator<TarContent> {
      for (; !next.done && pairs < shardSize; next = await readable.next()) {
        const { sample, content } = next.value;
        const key = String(written).padStart(9, "0");
        yield { name: `${key}${endingFor(sample.image, content)}`, bytes: content };
        yield { name: `${key}.txt`, bytes: captionBytes(sample.captions) };
        if (sample.synthetic !== undefined)
          yield { name: `${key}.synthetic.txt`, bytes: captionBytes([sample.synthetic]) };
        pairs++;
        bytes += content.length;
        written++;
        onProgress?.(written);
      }
    }
    const path = join(folder, `${String(shard).padStart(6, "0")}.tar`);
    await writeFileAtomic(path, tarBytes(files()), { signal });
    yield { path, pairs, bytes };
  }
}

/** The readable samples with their image files, shuffled. */
async function* readableSamples(
  samples: readonly Sample[],
  skipped: SkippedImage[],
): AsyncGenerator<{ readonly sample: Sample; readonly content: Uint8Array }> {
  const order = new Random(0).permutation(samples.length);
  for await (const file of mapInOrder(order, (i) => orSkipped(samples[i]!.image, () => readSample(samples[i]!)))) {
    if ("reason" in file) skipped.push(file);
    else yield file;
  }
}

async function readSample(sample: Sample): Promise<{ sample: Sample; content: Uint8Array }> {
  const content = await readImageBytes(sample);
  const kind = kindByContent(sample.image, content);
  if (kind === "image") return { sample, content };
  throw new ClipError("CLIP_IMAGE", kind === "other" ? "its content is not an image" : kind.reason);
}

/** The ending of an image in a shard: its own, or that of its format if readers do not know its own. */
function endingFor(image: string, content: Uint8Array): string {
  if (kindByName(image) === "image") return endingOf(image);
  return `.${sniffImage(content)!.format.toLowerCase().replace("jpeg", "jpg")}`;
}

import { extname } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { printable } from "../../core/printable.ts";
import { bindingAdvice, launched } from "../../engine/distributed/launch.ts";
import { ClipEncoder } from "../../model/embedding/encoder.ts";
import { counted, duration } from "../report/numbers.ts";
import { readImages } from "../../inputs/data/pairs.ts";
import {
  checksumOf,
  imageEmbedding,
  locatedImageEmbedding,
  textEmbedding,
} from "../../applications/vectors/embeddings.ts";
import { type EmbeddedShard, embedShards } from "../../applications/vectors/embed-shards.ts";
import { type VectorFormat } from "../../applications/vectors/vector-files.ts";
import { rateAfterStart } from "./eval-options.ts";
import { standardInputImage } from "./image-arguments.ts";
import type { CliIo } from "./io.ts";
import { readChosenModel, showDownload } from "./options.ts";
import { describeSkip } from "./terminal.ts";
import { readLines, standardInput } from "./text-files.ts";

/** The most that a list of texts may have, which is read as a whole: some millions. */
const maxTextsBytes = 256 * 2 ** 20;

/** What cannot be embedded is shown up to so many; all of it stands beside its shard. */
const shownLines = 10;

type ModelRequest = Parameters<typeof readChosenModel>[0];

/** What `clip-ts embed` was asked for. */
interface EmbedRequest extends ModelRequest {
  readonly source: string;
  readonly out: string;
  readonly texts?: true | undefined;
  readonly format: VectorFormat;
  readonly shardSize: number;
  readonly dtype?: "q8" | "q4" | undefined;
  readonly imageColumn?: string | undefined;
  readonly images?: string | undefined;
  readonly maxImagePixels: number;
  readonly json?: true | undefined;
}

/** Writes the shards that are this process's and not there yet, and says which. */
export async function runEmbedding(request: EmbedRequest, io: CliIo): Promise<void> {
  const { out, format, shardSize, dtype, json } = request;
  if (!request.texts && extname(request.source).toLowerCase() === ".txt")
    throw new ClipError("CLIP_USAGE", `${request.source} is a text file; to embed its lines add --texts`);
  const { rank, size } = launched();
  const advice = bindingAdvice();
  if (advice !== undefined) io.err(advice);
  const { signal } = io;
  // Before a model is fetched: whether there is anything to embed.
  const embed = await readEmbedded(request, io);
  const model = await readChosenModel(request, io);
  await using encoder = new ClipEncoder(model, { dtype });
  const rateOf = rateAfterStart();
  const onProgress = (done: number, of: number) => {
    const rate = rateOf(done);
    const left = rate === undefined || rate === 0 ? "" : `, ${duration((of - done) / rate)} left`;
    io.progress(`${done.toLocaleString("en")} of ${of.toLocaleString("en")}${left}`);
  };
  const shards: EmbeddedShard[] = [];
  const options = { out, format, shardSize, rank, size, signal, onProgress };
  const checksum = await checksumOf(model, dtype);
  for await (const shard of embed(encoder, checksum, options)) {
    shards.push(shard);
    const left = shard.skipped.length === 0 ? "" : `, ${shard.skipped.length} left out`;
    if (!json) io.out(`${printable(shard.path)}  ${counted(shard.vectors, "vector")}${left}`);
  }
  const skipped = shards.flatMap((shard) => shard.skipped);
  for (const skip of skipped.slice(0, shownLines)) io.err(`left out: ${describeSkip(skip)}`);
  if (skipped.length > shownLines) io.err(`left out: ${skipped.length - shownLines} more, listed in ${out}`);
  if (json) io.out(JSON.stringify({ rank, size, shards }, null, 2));
  else if (shards.length === 0) io.out(`${out} has all vectors already`);
}

/** Embeds what has been read. */
type Embed = (
  encoder: ClipEncoder,
  model: string,
  options: Parameters<typeof embedShards>[1],
) => AsyncGenerator<EmbeddedShard>;

async function readEmbedded(request: EmbedRequest, io: CliIo): Promise<Embed> {
  const { source, imageColumn, images, maxImagePixels } = request;
  const { signal } = io;
  if (request.texts) {
    const texts = await readLines(source, io, maxTextsBytes);
    let cut = 0;
    const onTruncate = () => {
      if (cut++ === 0) io.err("some texts have more tokens than the model reads, and are cut");
    };
    return (encoder, model, options) =>
      embedShards(textEmbedding(encoder, texts, { model, signal, onTruncate }), options);
  }
  if (standardInput.has(source)) {
    const image = await standardInputImage({ maxImagePixels }, io);
    return (encoder, model, options) => embedShards(imageEmbedding(encoder, image, { model, signal }), options);
  }
  const read = await readImages(source, { imageColumn, images, signal, onProgress: showDownload(io) });
  return (encoder, model, options) =>
    embedShards(locatedImageEmbedding(encoder, read, source, { model, maxImagePixels, signal }), options);
}

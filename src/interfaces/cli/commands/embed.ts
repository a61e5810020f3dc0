import { extname } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import {
  checksumOf,
  imageEmbedding,
  locatedImageEmbedding,
  textEmbedding,
} from "../../../applications/vectors/embeddings.ts";
import { type EmbeddedShard, embedShards } from "../../../applications/vectors/embed-shards.ts";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { bindingAdvice, launched } from "../../../engine/distributed/launch.ts";
import { readImages } from "../../../inputs/data/pairs.ts";
import { ClipEncoder } from "../../../model/embedding/encoder.ts";
import { defaultModel } from "../../../model/hub/known-models.ts";
import { counted, duration } from "../../report/numbers.ts";
import { standardInputImage } from "../image-arguments.ts";
import type { CliIo } from "../io.ts";
import { addModelOptions, encoderOptions, readChosenModel, showDownload } from "../model-options.ts";
import {
  examples,
  imageColumnOption,
  imagesOption,
  jsonOption,
  maxImagePixelsOption,
  type OptionsOf,
  outOption,
  shardSizeOption,
} from "../options.ts";
import { printJson, rateAfterStart, showSkipped } from "../output.ts";
import { readLines, standardInput } from "../text-files.ts";

/** A list of texts is read as a whole: some millions of texts. */
const maxTextsBytes = 256 * 2 ** 20;

const command = () =>
  addModelOptions(
    new Command("embed")
      .summary("write embeddings of many images or texts to files")
      .description(
        "Encodes the images of a folder, of shards or of a table, or the lines of a text file, and writes embeddings and ids in " +
          "shards. A shard is written whole or not at all; run the same command again to write missing shards. Processes started " +
          "together by mpirun or srun share the shards.",
      )
      .argument(
        "<source>",
        "a folder of images, shards (.tar, .tar.gz), a table with a column of images, or a text file",
      )
      .addOption(outOption().makeOptionMandatory())
      .option("--texts", "the source is a text file (- for the standard input): embed its lines, skipping blank ones")
      .addOption(
        new Option("--format <name>", "parquet has columns id and embedding; npy has ids in a file beside the array")
          .choices(["parquet", "npy"] as const)
          .default("parquet" as const),
      )
      .addOption(shardSizeOption)
      .addOption(imageColumnOption)
      .addOption(imagesOption),
  )
    .addOption(maxImagePixelsOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts embed photos --out vectors",
        'clip-ts embed "shards/web-{0000..0099}.tar" --out vectors --model ViT-B/32 --format npy',
        "clip-ts embed labels.txt --texts --out label-vectors",
        "mpirun -n 4 clip-ts embed photos --out vectors --shard-size 1000",
      ),
    );

export const embedCommand = (io: CliIo) =>
  command().action(async (source, options) => {
    const { out, format, shardSize, json } = options;
    if (!options.texts && extname(source).toLowerCase() === ".txt")
      throw new ClipError("CLIP_USAGE", `${source} is a text file; to embed its lines add --texts`);
    const { rank, size } = launched();
    const advice = bindingAdvice();
    if (advice !== undefined) io.err(advice);
    // A missing source is reported before a model is downloaded.
    const embed = await readEmbedded(source, options, io);
    const model = await readChosenModel(options, io);
    await using encoder = new ClipEncoder(model, encoderOptions(options));
    const shards: EmbeddedShard[] = [];
    const writing = { out, format, shardSize, rank, size, signal: io.signal, onProgress: progressOf(io) };
    for await (const shard of embed(encoder, await checksumOf(model, options.dtype), writing)) {
      shards.push(shard);
      const left = shard.skipped.length === 0 ? "" : `, ${shard.skipped.length} skipped`;
      if (!json) io.out(`${printable(shard.path)}  ${counted(shard.vectors, "vector")}${left}`);
    }
    const skipped = shards.flatMap((shard) => shard.skipped.map(({ id, reason }) => ({ item: id, reason })));
    showSkipped(skipped, io);
    const results = shards.map(({ path, vectors }) => ({ path, vectors }));
    if (json) printJson({ model: options.model ?? defaultModel, data: source, results, skipped }, io);
    else if (shards.length === 0) io.out(`${out} has all vectors already`);
  });

/** Shows the progress and the time left. */
function progressOf(io: CliIo): (done: number, of: number) => void {
  const rateOf = rateAfterStart();
  return (done, of) => {
    const rate = rateOf(done);
    const left = rate === undefined || rate === 0 ? "" : `, ${duration((of - done) / rate)} left`;
    io.progress(`${done.toLocaleString("en")} of ${of.toLocaleString("en")}${left}`);
  };
}

/** Embeds a source that was read. */
type Embed = (
  encoder: ClipEncoder,
  model: string,
  options: Parameters<typeof embedShards>[1],
) => AsyncGenerator<EmbeddedShard>;

async function readEmbedded(source: string, options: OptionsOf<typeof command>, io: CliIo): Promise<Embed> {
  const { imageColumn, images, maxImagePixels } = options;
  const { signal } = io;
  if (options.texts) {
    const texts = await readLines(source, io, maxTextsBytes);
    let cut = 0;
    const onTruncate = () => {
      if (cut++ === 0) io.err("some texts are too long for the model and are cut");
    };
    return (encoder, model, writing) =>
      embedShards(textEmbedding(encoder, texts, { model, signal, onTruncate }), writing);
  }
  if (standardInput.has(source)) {
    const image = await standardInputImage({ maxImagePixels }, io);
    return (encoder, model, writing) => embedShards(imageEmbedding(encoder, image, { model, signal }), writing);
  }
  const read = await readImages(source, { imageColumn, images, signal, onProgress: showDownload(io) });
  return (encoder, model, writing) =>
    embedShards(locatedImageEmbedding(encoder, read, source, { model, maxImagePixels, signal }), writing);
}

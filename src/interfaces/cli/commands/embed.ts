import { createHash } from "node:crypto";
import { extname } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { embed, type EmbedSource, readImageSource } from "../../../applications/vectors/embed.ts";
import type { EmbeddedShard } from "../../../applications/vectors/embed-shards.ts";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { bindingAdvice, launched } from "../../../engine/distributed/launch.ts";
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
    const read = await readSource(source, options, io);
    await using encoder = new ClipEncoder(await readChosenModel(options, io), encoderOptions(options));
    const shards: EmbeddedShard[] = [];
    const { maxImagePixels } = options;
    const writing = { out, format, shardSize, rank, size, maxImagePixels, signal: io.signal };
    const telling = {
      onProgress: progressOf(io),
      onTruncate: sayOnce("some texts are too long for the model and are cut", io),
    };
    for await (const shard of embed(encoder, read, { ...writing, ...telling })) {
      shards.push(shard);
      const left = shard.skipped.length === 0 ? "" : `, ${shard.skipped.length} skipped`;
      if (!json) io.out(`${printable(shard.path)}  ${counted(shard.vectors, "vector")}${left}`);
    }
    const skipped = shards.flatMap((shard) => shard.skipped);
    showSkipped(skipped, io);
    const results = shards.map(({ path, vectors }) => ({ path, vectors }));
    if (json) printJson({ model: options.model ?? defaultModel, data: source, results, skipped }, io);
    else if (shards.length === 0) io.out(`${out} has all vectors already`);
  });

function progressOf(io: CliIo): (done: number, of: number) => void {
  const rateOf = rateAfterStart();
  return (done, of) => {
    const rate = rateOf(done);
    const left = rate === undefined || rate === 0 ? "" : `, ${duration((of - done) / rate)} left`;
    io.progress(`${done.toLocaleString("en")} of ${of.toLocaleString("en")}${left}`);
  };
}

function sayOnce(message: string, io: CliIo): () => void {
  let said = false;
  return () => {
    if (!said) io.err(message);
    said = true;
  };
}

async function readSource(
  source: string,
  { texts, imageColumn, images, maxImagePixels }: OptionsOf<typeof command>,
  io: CliIo,
): Promise<Exclude<EmbedSource, string>> {
  if (texts) return { texts: await readLines(source, io, maxTextsBytes) };
  if (!standardInput.has(source))
    return readImageSource(source, { imageColumn, images, signal: io.signal, onProgress: showDownload(io) });
  const image = await standardInputImage({ maxImagePixels }, io);
  const id = `sha256:${createHash("sha256").update(image.bytes).digest("hex")}`;
  return { images: new Map([[id, image]]) };
}

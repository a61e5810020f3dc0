import { Option } from "@commander-js/extra-typings";
import { defaultIndexFolder } from "../../applications/search/default-index.ts";
import type { IndexSummary } from "../../applications/search/index-folders.ts";
import { openIndex, type SearchIndex } from "../../applications/search/search-index.ts";
import { ClipEncoder } from "../../model/embedding/encoder.ts";
import { modelName } from "../../model/hub/cache.ts";
import { count, duration } from "../report/numbers.ts";
import type { CliIo } from "./io.ts";
import { encoderOptions, type ModelOptions, readChosenModel } from "./model-options.ts";
import { repeated } from "./options.ts";
import { showSkipped } from "./output.ts";

export const indexOption = new Option(
  "--index <folder>",
  "the folder of the index (default: one per model, in the user's data folder)",
);
export const excludeOption = new Option(
  "--exclude <pattern>",
  "files or folders to leave out, as in a .gitignore; may be repeated",
).argParser(repeated);

/** An index that a command has open, with its model. */
export interface OpenedIndex extends AsyncDisposable {
  readonly index: SearchIndex;
  readonly folder: string;
  readonly model: string;
}

export async function openChosenIndex(
  options: ModelOptions & { readonly index?: string | undefined },
  io: CliIo,
): Promise<OpenedIndex> {
  const encoder = new ClipEncoder(await readChosenModel(options, io), {
    ...encoderOptions(options),
    signal: io.signal,
  });
  const model = modelName(encoder.path);
  const folder = options.index ?? defaultIndexFolder(model);
  try {
    const index = await openIndex(folder, encoder);
    const dispose = async () => {
      await index[Symbol.asyncDispose]();
      await encoder.release();
    };
    return { index, folder, model, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await encoder.release();
    throw error;
  }
}

/** Brings the index up to date with folders, and tells what was done. */
export async function updateIndex(
  { index }: OpenedIndex,
  folders: readonly string[],
  options: { readonly exclude?: readonly string[] | undefined; readonly maxImagePixels?: number | undefined },
  io: CliIo,
): Promise<IndexSummary> {
  const summary = await index.add(folders, {
    exclude: options.exclude,
    maxImagePixels: options.maxImagePixels,
    signal: io.signal,
    onProgress: ({ done, of, secondsLeft }) => {
      const left = secondsLeft === undefined ? "" : `, ${duration(secondsLeft)} left`;
      io.progress(`indexing: ${count(done)} of ${count(of)} images${left}`);
    },
  });
  for (const folder of summary.offline)
    io.err(`${folder} is missing or empty, as a drive that is not mounted; its images stay in the index`);
  showSkipped(
    summary.unreadable.map(({ path, reason }) => ({ image: path, reason })),
    io,
  );
  return summary;
}

/** "1,200 new, 3 renamed or copied, 2 removed" */
export function describeUpdate({ embedded, reused, unchanged, removed, unreadable }: IndexSummary): string {
  const parts: [number, string][] = [
    [embedded, "embedded"],
    [reused, "renamed or copied"],
    [unchanged, "unchanged"],
    [removed, "removed"],
    [unreadable.length, "unreadable"],
  ];
  return (
    parts
      .filter(([number]) => number > 0)
      .map(([number, what]) => `${count(number)} ${what}`)
      .join(", ") || "no images"
  );
}

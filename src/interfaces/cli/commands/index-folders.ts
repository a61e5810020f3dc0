import { Command, Option } from "@commander-js/extra-typings";
import { folderChanges } from "../../../applications/search/folder-changes.ts";
import type { CliIo } from "../io.ts";
import { addModelOptions } from "../model-options.ts";
import { examples, jsonOption, maxImagePixelsOption, type OptionsOf } from "../options.ts";
import { printJson } from "../output.ts";
import {
  describeUpdate,
  excludeOption,
  indexOption,
  openChosenIndex,
  type OpenedIndex,
  updateIndex,
} from "../search-index.ts";

const command = () =>
  addModelOptions(
    new Command("index")
      .summary("index folders of images for search")
      .description(
        "Embeds the images of folders into a search index, for clip-ts search. Run it again to bring the index up to date: only new " +
          "and changed images are embedded, renamed and copied ones are recognized by their content, and deleted ones are removed. A " +
          "folder on a drive that is not mounted stays indexed. It can be stopped at any time and continued.",
      )
      .argument("<folders...>", "folders of images")
      .addOption(new Option("--watch", "then keep up with changes in the folders until Ctrl-C").conflicts("json"))
      .addOption(indexOption)
      .addOption(excludeOption),
  )
    .addOption(maxImagePixelsOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts index photos",
        "clip-ts index photos --watch",
        "clip-ts index photos /media/archive --exclude screenshots --index my-index",
      ),
    );

export const indexCommand = (io: CliIo) =>
  command().action(async (folders, options) => {
    await using opened = await openChosenIndex(options, io);
    if (options.watch) return await keepUp(opened, folders, options, io);
    const summary = await updateIndex(opened, folders, options, io);
    const { model, folder, index } = opened;
    const { unreadable, ...results } = summary;
    const skipped = unreadable.map(({ path, reason }) => ({ image: path, reason }));
    if (options.json) printJson({ model, data: folders, results: { index: folder, ...results }, skipped }, io);
    else {
      const { items } = await index.store.counts();
      io.out(describeUpdate(summary));
      io.out(`${items.toLocaleString("en")} images in the index ${folder}`);
    }
  });

/** Brings the index up to date now and after each change. */
async function keepUp(
  opened: OpenedIndex,
  folders: readonly string[],
  options: OptionsOf<typeof command>,
  io: CliIo,
): Promise<void> {
  for await (const isFirst of folderChanges(folders, io.signal)) {
    const summary = await updateIndex(opened, folders, options, io);
    const { embedded, reused, removed } = summary;
    if (isFirst || embedded + reused + removed > 0) io.out(describeUpdate(summary));
    if (isFirst) io.err(`watching ${folders.join(", ")}; Ctrl-C stops`);
  }
}

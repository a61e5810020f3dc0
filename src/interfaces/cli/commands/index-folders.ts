import { Command } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import { addModelOptions } from "../model-options.ts";
import { examples, jsonOption, maxImagePixelsOption } from "../options.ts";
import { printJson } from "../output.ts";
import { describeUpdate, excludeOption, indexOption, openChosenIndex, updateIndex } from "../search-index.ts";

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
      .addOption(indexOption)
      .addOption(excludeOption),
  )
    .addOption(maxImagePixelsOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples("clip-ts index photos", "clip-ts index photos /media/archive --exclude screenshots --index my-index"),
    );

export const indexCommand = (io: CliIo) =>
  command().action(async (folders, options) => {
    await using opened = await openChosenIndex(options, io);
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

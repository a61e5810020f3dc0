import { resolve } from "node:path";
import { Command } from "@commander-js/extra-typings";
import { findDuplicates } from "../../../applications/search/duplicates.ts";
import { printable } from "../../../core/printable.ts";
import { counted } from "../../report/numbers.ts";
import type { CliIo } from "../io.ts";
import { addModelOptions } from "../model-options.ts";
import { examples, jsonOption } from "../options.ts";
import { printJson } from "../output.ts";
import { excludeOption, indexOption, openChosenIndex, updateIndex } from "../search-index.ts";

const command = () =>
  addModelOptions(
    new Command("duplicates")
      .summary("find near-duplicates and bursts among images")
      .description(
        "Groups the images of a folder, or of the whole index, that look alike: copies in other sizes, formats and qualities, and images of a " +
          "burst. Of each group the sharpest is suggested. Nothing is deleted. The folder is indexed first.",
      )
      .argument("[folder]", "a folder of images")
      .addOption(indexOption)
      .addOption(excludeOption),
  )
    .addOption(jsonOption)
    .addHelpText("after", examples("clip-ts duplicates photos", "clip-ts duplicates photos --json"));

export const duplicatesCommand = (io: CliIo) =>
  command().action(async (folder, options) => {
    await using opened = await openChosenIndex(options, io);
    if (folder !== undefined) await updateIndex(opened, [folder], options, io);
    const value = `${resolve(folder ?? "/").replaceAll("\\", "/")}/*`;
    const where = folder === undefined ? undefined : ({ op: "=", field: "path", value } as const);
    const groups = await findDuplicates(opened.index.store, where);
    if (options.json) {
      const results = groups.map(({ items, best }) => ({ best, items }));
      return printJson({ model: opened.model, data: folder, results }, io);
    }
    for (const { items, best } of groups) {
      for (const { path } of items) io.out(`${path === best ? "sharpest  " : "          "}${printable(path)}`);
      io.out("");
    }
    io.err(groups.length === 0 ? "no duplicates" : `${counted(groups.length, "group")} of images that look alike`);
  });

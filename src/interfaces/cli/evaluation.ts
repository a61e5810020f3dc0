import { basename } from "node:path";
import { type Command, type OptionValues } from "@commander-js/extra-typings";
import { printable } from "../../core/printable.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { defaultModel } from "../../model/hub/known-models.ts";
import { ClipModel } from "../../model/zero-shot/clip.ts";
import { counted } from "../report/numbers.ts";
import type { CliIo } from "./io.ts";
import { addModelsOptions, encoderOptions, type ModelsOptions, readChosenModel } from "./model-options.ts";
import { jsonOption, maxImagePixelsOption } from "./options.ts";
import { printJson, rateAfterStart, showSkipped, writePage } from "./output.ts";
import { table } from "./terminal.ts";

export const addEvaluationOptions = <Args extends unknown[], Options extends OptionValues>(
  command: Command<Args, Options>,
) => addModelsOptions(command).addOption(maxImagePixelsOption).addOption(jsonOption);

interface EvaluationOptions extends ModelsOptions {
  readonly json?: boolean | undefined;
  readonly html?: string | undefined;
}

interface Scores {
  /** Images that cannot be decoded, the same for each model. */
  readonly broken: readonly SkippedImage[];
  /** Captions that were too long and were cut. */
  readonly cut?: number;
}

/** A model as it was named, and its scores. */
export interface Measured<S> {
  readonly model: string;
  readonly scores: S;
}

/** What differs between evaluations. */
interface Evaluation<S extends Scores> {
  readonly data: string;
  readonly skipped: readonly SkippedImage[];
  readonly measure: (clip: ClipModel, onProgress: (done: number, of: number) => void) => Promise<S>;
  /** The table's columns after the model: title and cell. */
  readonly columns: readonly (readonly [string, (scores: S) => string])[];
  /** Further lines below the table. */
  readonly notes?: (measured: readonly Measured<S>[]) => readonly string[];
  /** Further fields of a model's record in the JSON document. */
  readonly fields?: (model: string) => object;
  readonly page?: (measured: readonly Measured<S>[]) => Promise<string>;
}

/** Measures each model and prints the results; one model at a time is in memory. */
export async function evaluate<S extends Scores>(
  { model: given, json, html, ...options }: EvaluationOptions,
  { data, measure, columns, notes, fields, page, ...evaluation }: Evaluation<S>,
  io: CliIo,
): Promise<void> {
  showSkipped(evaluation.skipped, io);
  const measured: Measured<S>[] = [];
  for (const named of given ?? [undefined]) {
    await using clip = new ClipModel(await readChosenModel({ ...options, model: named }, io), encoderOptions(options));
    const model = named ?? defaultModel;
    measured.push({ model, scores: await measure(clip, progressOf(model, io)) });
  }
  const { broken } = measured[0]!.scores;
  showSkipped(broken, io);
  for (const { model, scores } of measured) if (scores.cut) io.err(describeCut(scores.cut, model));
  if (json) {
    const results = measured.map(({ model, scores }) => ({ model, ...fields?.(model), ...scores, broken: undefined }));
    printJson(
      { model: measured.map(({ model }) => model), data, results, skipped: [...evaluation.skipped, ...broken] },
      io,
    );
  } else {
    const rows = measured.map(({ model, scores }) => [printable(model), ...columns.map(([, cell]) => cell(scores))]);
    const lines = notes?.(measured) ?? [];
    io.out([table(["model", ...columns.map(([title]) => title)], rows), ...lines].join("\n"));
  }
  if (html !== undefined && page) await writePage(html, await page(measured), io);
}

function progressOf(model: string, io: CliIo): (done: number, of: number) => void {
  const rateOf = rateAfterStart();
  return (done, of) => {
    const rate = rateOf(done);
    io.progress(`${basename(model)}  ${done} of ${of}${rate === undefined ? "" : `, ${rate.toFixed(0)} per second`}`);
  };
}

function describeCut(cut: number, model: string): string {
  const were = cut === 1 ? "was" : "were";
  return `${counted(cut, "caption")} ${were} cut: longer than ${model} reads`;
}

import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { readJson } from "../../core/parse.ts";
import { defaultModel } from "../../model/hub/known-models.ts";
import { counted } from "../report/numbers.ts";
import { finetunePage } from "../report/finetune-page.ts";
import { finetune, type FinetuneRecord, keepAlpha } from "../../learning/finetune/finetune.ts";
import { finetuneFiles } from "../../learning/finetune/weight-blends.ts";
import { type FinetunePlan, type RecipeName } from "../../learning/finetune/finetune-plan.ts";
import { readTrainConfig } from "../../learning/train/config.ts";
import { runFiles } from "../../learning/train/run-folder.ts";
import type { CliIo } from "./io.ts";
import { locateModel, showDownload } from "./options.ts";
import { percent, table } from "./terminal.ts";
import { announceStop, noteNewStart, reportSkipped, showStep, writeTrainReport } from "./train-run.ts";

/** What `clip-ts finetune` was asked for. */
interface FinetuneRequest {
  readonly data: string;
  readonly model?: string | undefined;
  readonly validation?: string | undefined;
  readonly general?: string | undefined;
  /** In points. */
  readonly maxLoss: number;
  readonly alpha?: number | undefined;
  readonly out: string;
  readonly resume: boolean;
  readonly template?: readonly string[] | undefined;
  readonly imageColumn?: string | undefined;
  readonly images?: string | undefined;
  readonly captionColumn?: string | undefined;
  readonly recipe?: RecipeName | undefined;
  readonly epochs?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly learningRate?: number | undefined;
  readonly seed?: number | undefined;
  readonly config?: string | undefined;
  readonly maxImagePixels?: number | undefined;
  readonly offline?: boolean | undefined;
  readonly json: boolean;
  /** What to type to go on if it is stopped. */
  readonly again: string;
}

/** Fine-tunes, shows how far it is, and writes the report. */
export async function runFinetuning(request: FinetuneRequest, io: CliIo): Promise<void> {
  const { data, validation, general, out, resume, recipe, epochs, alpha } = request;
  const { imageColumn, captionColumn, images, template: classTemplates } = request;
  const source = (source: string) => ({
    ...{
      source,
      ...(imageColumn !== undefined && { imageColumn }),
      ...(images !== undefined && { images }),
      ...(captionColumn !== undefined && { captionColumn }),
    },
    ...(classTemplates && { classTemplates }),
  });
  const tuned = join(out, finetuneFiles.tuned);
  if (resume) await noteNewStart(tuned, io);
  announceStop(io);
  const { training, record, skipped } = await finetune(
    {
      ...{
        model: () => locateModel(request.model ?? defaultModel, io, request),
        general,
        recipe,
        epochs,
        alpha,
        maxLoss: request.maxLoss / 100,
        settings: await readSettings(request),
      },
      ...{ data: source(data), validation: validation === undefined ? undefined : source(validation) },
    },
    {
      ...{ out, resume, signal: io.signal, onDownload: showDownload(io), onProgress: showStep(io) },
      onPlan: (plan, pairs) => describePlan(plan, pairs, request).forEach((line) => io.err(line)),
      onFinding: ({ step, text }) => io.err(`doctor, step ${step}: ${text}`),
      onScoring: (alpha, count, of) => io.progress(`blend ${alpha}: ${count} of ${of} images`),
    },
  );
  reportSkipped(skipped, "", io);
  if (!record) {
    const where = training.finished ? "while blends were measured" : `after step ${training.steps}`;
    io.err(`stopped ${where}; go on with: ${request.again}`);
    return;
  }
  await writeTrainReport(tuned, await readTrainConfig(join(tuned, runFiles.config)), training);
  await show(out, record, request, io);
}

/** Puts another blend of a finished run into its model. */
export async function runKeepAlpha(
  out: string,
  alpha: number,
  wanted: { readonly json: boolean },
  io: CliIo,
): Promise<void> {
  await show(out, await keepAlpha(out, alpha), wanted, io);
}

/** The keys of a run that were set otherwise than planned. */
async function readSettings(request: FinetuneRequest) {
  const { batchSize, learningRate, seed, maxImagePixels, config } = request;
  // Whether they make sense is seen where the run is put together.
  const others = config === undefined ? {} : await readJson(z.record(z.string(), z.unknown()), config);
  const named = Object.entries({ batchSize, learningRate, seed, maxImagePixels });
  return { ...others, ...Object.fromEntries(named.filter(([, value]) => value !== undefined)) };
}

function describePlan(
  { recipe, settings }: FinetunePlan,
  pairs: FinetuneRecord["pairs"],
  { validation, general }: FinetuneRequest,
): string[] {
  const held = validation === undefined ? "held out to validate on" : "to validate on";
  const others =
    general === undefined ? "no general set: only your images are measured" : `${pairs.general} of a general set`;
  const rows = settings.map(({ name, value, why }) => [name, shortValue(value), why]);
  const data = `${counted(pairs.train, "pair")} to train on, ${pairs.validation} ${held}, ${others}`;
  const plan = table(["setting", "value", "because"], rows).split("\n");
  return [data, `recipe "${recipe}" (--recipe takes another)`, "", ...plan, ""];
}

/** A setting's value in a table; of a long one only that it is set. */
function shortValue(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 24 ? text : "set";
}

async function show(
  out: string,
  record: FinetuneRecord,
  { json }: { readonly json: boolean },
  io: CliIo,
): Promise<void> {
  const [model, report] = [join(out, finetuneFiles.model), join(out, finetuneFiles.report)];
  await writeFileAtomic(report, [finetunePage(record, join(finetuneFiles.tuned, runFiles.report))]);
  if (json) return io.out(JSON.stringify({ ...record, original: record.model, model, report }));
  const rows = record.sweep.map(({ alpha, validation, general }) => [
    ...[alpha.toFixed(1), percent(validation.top1), percent(general?.top1)],
    [alpha === 0 && "the original", alpha === 1 && "tuned", alpha === record.alpha && "kept"]
      .filter(Boolean)
      .join(", "),
  ]);
  io.out(table(["alpha", "yours", "general", ""], rows));
  io.out(`\nkept alpha ${record.alpha}: ${record.why}`);
  io.out(`model   ${model}`);
  io.out(`report  ${report}`);
}

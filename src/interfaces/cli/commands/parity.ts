import { Command, Option } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { type Machine, packageFixtures, parity, type ParityRow, thisMachine } from "../../../learning/parity/parity.ts";
import type { CliIo } from "../io.ts";
import { activationOption, configOption, modelOption } from "../model-options.ts";
import { examples, jsonOption } from "../options.ts";
import { printJson } from "../output.ts";
import { table } from "../terminal.ts";

/**
 * It never downloads, so it has no `--offline`; recorded numbers are of unchanged weights on a CPU, so it has no `--lora`, `--image-size`,
 * `--dtype` and `--device`.
 */
export const parityCommand = (io: CliIo) =>
  new Command("parity")
    .summary("compare this machine's numbers with recorded ones")
    .description(
      "Computes texts, images and small towers again and compares the numbers with the package's recordings, and published " +
        "models in the cache with their published outputs. Nothing is downloaded; skipped cases give the reason. The exit code " +
        "is 1 if a difference exceeds its tolerance, or if nothing could be compared with --model.\n\n" +
        "--model selects one published model: by its name, the copy in the cache; by a folder or file, those weights, compared " +
        "as the published model of their architecture.",
    )
    .argument("[folder]", "the folder of images that are not in the package, such as golden/CLIP.png (default: none)")
    .addOption(modelOption("all in the cache"))
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(new Option("--fixtures <folder>", "the folder of recordings").default(packageFixtures, "the package's"))
    .addOption(jsonOption)
    .addHelpText("after", examples("clip-ts parity", "clip-ts parity --model ViT-B/32", "clip-ts parity images --json"))
    .action(async (data, { json, fixtures, ...options }) => {
      const rows: ParityRow[] = [];
      const onCase = (name: string) => io.progress(printable(name));
      for await (const row of parity({ ...options, fixtures, data, signal: io.signal, onCase })) rows.push(row);
      const machine = thisMachine();
      const counts = { ok: 0, FAIL: 0, skipped: 0 };
      for (const { result } of rows) counts[result]++;
      const compared = rows.filter(({ result }) => result !== "skipped");
      if (json) {
        const skipped = rows.flatMap(({ case: item, reason, result }) =>
          result === "skipped" ? { item, reason: reason! } : [],
        );
        printJson({ model: options.model, data, results: { machine, fixtures, counts, rows: compared }, skipped }, io);
      } else {
        io.out(
          [
            describeMachine(machine),
            `recordings: ${printable(fixtures)}`,
            `images: ${data === undefined ? "the package's; clip-ts parity FOLDER adds more" : printable(data)}`,
            "",
            table(["case", "compared", "delta", "tolerance", "result"], compared.map(cells)),
            ...describeSkipped(rows),
            "",
            `${counts.ok} ok, ${counts.FAIL} failed, ${counts.skipped} skipped`,
          ].join("\n"),
        );
      }
      if (counts.FAIL > 0)
        throw new ClipError("CLIP_PARITY", `${counts.FAIL} of ${compared.length} comparisons failed`);
      if (options.model !== undefined && !compared.some(({ model }) => model !== undefined))
        throw new ClipError(
          "CLIP_PARITY",
          `nothing of ${options.model} could be compared; skipped cases give the reason`,
        );
    });

function describeMachine({ processor, cores, system, node, onnxRuntime }: Machine): string {
  return `${cores} × ${processor}, ${system}, Node ${node}, ONNX Runtime ${onnxRuntime}`;
}

function cells({ case: name, compared = "", delta, tolerance, result, worst, reason }: ParityRow): string[] {
  const where = result === "FAIL" && worst !== undefined ? ` at ${worst}` : "";
  const why = reason === undefined ? "" : `: ${reason.replace(/\n\s*/g, " ")}`;
  return [printable(name), compared, digits(delta), digits(tolerance), printable(`${result}${where}${why}`)];
}

/** Skipped cases, grouped by reason. */
function describeSkipped(rows: readonly ParityRow[]): string[] {
  const reasons = new Map<string, string[]>();
  for (const { case: name, result, reason } of rows) {
    if (result === "skipped") reasons.set(reason!, [...(reasons.get(reason!) ?? []), name]);
  }
  return [...reasons].flatMap(([reason, names]) => [
    "",
    `skipped, since ${printable(reason)}:`,
    ...names.map((name) => `  ${printable(name)}`),
  ]);
}

/** 0, 7.9e-7 */
function digits(value: number | undefined): string {
  if (value === undefined) return "";
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}

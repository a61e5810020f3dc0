import { Command } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { type Machine, thisMachine } from "../../../learning/parity/machine.ts";
import { packageFixtures, parity, type ParityRow } from "../../../learning/parity/parity.ts";
import type { CliIo } from "../io.ts";
import { activationOption, configOption, examples, modelOption } from "../options.ts";
import { table } from "../terminal.ts";

/** Compares this machine's numbers with recorded ones. */
export const parityCommand = (io: CliIo) =>
  new Command("parity")
    .summary("compare this machine's numbers with recorded ones")
    .description(
      "Computes what was recorded elsewhere and prints how far the numbers are apart: always texts, images and small towers " +
        "with the recordings in this package (its folder fixtures); and what others have published of models whose weights " +
        "are in the caches. Nothing is fetched; what cannot run says why. The exit code is 1 if numbers differ by more than " +
        "is allowed, or nothing could be compared of the model named.\n\n" +
        "Of the published models --model names one: by its name, for the copy in the cache, or by the folder or file of its " +
        "weights, which are then held to be those of the published model of this architecture.",
    )
    .addOption(modelOption("all in the caches"))
    .addOption(configOption)
    .addOption(activationOption)
    .option(
      "--data <folder>",
      "where the images are that are no part of this package, as golden/CLIP.png (default: none)",
    )
    .option("--fixtures <folder>", "recordings in the place of the package's own")
    .option("--json", "print one JSON document")
    .addHelpText("after", examples("clip-ts parity", "clip-ts parity --model ViT-B/32", "clip-ts parity --json"))
    .action(async ({ json, fixtures = packageFixtures, data, ...options }) => {
      const rows: ParityRow[] = [];
      const onCase = (name: string) => io.progress(printable(name));
      for await (const row of parity({ ...options, fixtures, data, signal: io.signal, onCase })) rows.push(row);
      const machine = thisMachine();
      const counts = { ok: 0, FAIL: 0, skipped: 0 };
      for (const { result } of rows) counts[result]++;
      if (json) io.out(JSON.stringify({ machine, fixtures, data, counts, rows }, null, 2));
      else {
        io.out(
          [
            describeMachine(machine),
            `recordings: ${printable(fixtures)}`,
            `images: ${data === undefined ? "those of the package; --data names a folder of more" : printable(data)}`,
            "",
            table(["case", "compared", "delta", "allowed", "result"], rows.flatMap(cells)),
            ...describeSkipped(rows),
            "",
            `${counts.ok} ok, ${counts.FAIL} failed, ${counts.skipped} skipped`,
          ].join("\n"),
        );
      }
      const compared = counts.ok + counts.FAIL;
      if (counts.FAIL > 0) throw new ClipError("CLIP_PARITY", `${counts.FAIL} of ${compared} comparisons failed`);
      if (options.model !== undefined && !rows.some(({ model, result }) => model !== undefined && result !== "skipped"))
        throw new ClipError("CLIP_PARITY", `nothing could be compared of ${options.model}; the skipped cases say why`);
    });

function describeMachine({ processor, cores, system, node, onnxRuntime }: Machine): string {
  return `${cores} × ${processor}, ${system}, Node ${node}, ONNX Runtime ${onnxRuntime}`;
}

/** The line of a comparison; none of what was skipped. */
function cells({ case: name, compared = "", delta, tolerance, result, worst, reason }: ParityRow): string[][] {
  if (result === "skipped") return [];
  const where = result === "FAIL" && worst !== undefined ? ` at ${worst}` : "";
  const why = reason === undefined ? "" : `: ${reason.replace(/\n\s*/g, " ")}`;
  return [[printable(name), compared, digits(delta), digits(tolerance), printable(`${result}${where}${why}`)]];
}

/** What was skipped, by the reason. */
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

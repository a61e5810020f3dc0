import { Command } from "@commander-js/extra-typings";
import { inspectModel, type ModelReport } from "../../embedding/index.ts";
import { ClipError } from "../../core/errors.ts";
import { knownModels, listCache, removeCached } from "../../hub/index.ts";
import { clipConfigs, countParameters } from "../../models/index.ts";
import type { CliIo } from "../io.ts";
import {
  locateModel,
  megabytes,
  activationOption,
  configOption,
  examples,
  offlineOption,
  imageSizeOption,
} from "../options.ts";
import { table } from "../terminal.ts";

/** What models are. */
export const modelsCommand = (io: CliIo) =>
  new Command("models")
    .summary("look at models")
    .description("Says what models are, and which are published.")
    .addCommand(listCommand(io))
    .addCommand(inspectCommand(io))
    .addCommand(cacheCommand(io));

const listCommand = (io: CliIo) =>
  new Command("list")
    .summary("list published models")
    .description(
      "Lists published models with their size, licence and zero-shot accuracy on ImageNet, as their makers or open_clip " +
        "measured it. None is part of this package.",
    )
    .option("--json", "print it as JSON")
    .action(({ json }) => {
      const models = knownModels.map((model) => ({
        ...model,
        parameters: countParameters(clipConfigs[model.architecture]),
      }));
      if (json) return io.out(JSON.stringify(models, null, 2));
      const rows = models.map(({ name, parameters, licence, imageNet, architecture }) => [
        ...[name, architecture, `${(parameters / 1e6).toFixed(0)} M`, `${imageNet.toFixed(1)} %`, licence],
      ]);
      io.out(table(["name", "architecture", "parameters", "ImageNet", "licence"], rows));
    });

const cacheCommand = (io: CliIo) =>
  new Command("cache")
    .summary("list or remove what was fetched")
    .description("What was fetched is kept where Python's libraries keep it, and found there by them and us.")
    .addCommand(
      new Command("list")
        .summary("list what was fetched")
        .option("--json", "print it as JSON")
        .action(async ({ json }) => {
          const models = await listCache();
          if (json) return io.out(JSON.stringify(models, null, 2));
          if (models.length === 0) return io.err("nothing was fetched yet");
          io.out(
            table(
              ["model", "size"],
              models.map(({ name, bytes }) => [name, megabytes(bytes)]),
            ),
          );
        }),
    )
    .addCommand(
      new Command("clear")
        .summary("remove what was fetched")
        .argument("[name...]", "as the list has them")
        .option("--all", "everything that the list has, what Python has fetched too")
        .action(async (names, { all }) => {
          const models = await listCache();
          const missing = names.filter((name) => !models.some((model) => model.name === name));
          if (missing.length > 0) throw new ClipError("CLIP_USAGE", `not in the cache: ${missing.join(", ")}`);
          if (names.length > 0 && all) throw new ClipError("CLIP_USAGE", "either names or --all");
          if (names.length === 0 && !all)
            throw new ClipError("CLIP_USAGE", "name what to remove, as the list has it, or say --all");
          for (const model of models.filter(({ name }) => all || names.includes(name))) {
            await removeCached(model);
            io.err(`removed ${model.name}, ${megabytes(model.bytes)}`);
          }
        }),
    );

const inspectCommand = (io: CliIo) =>
  new Command("inspect")
    .summary("say what a model on disk is")
    .description(
      "Finds out whose files a model's are, its architecture, activation, vocabulary and preprocessing, and that all of them " +
        "fit each other. Of the weights only the table of contents is read.",
    )
    .argument("<path>", "a model folder or weight file, or the name of a published model")
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(imageSizeOption)
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      examples("clip-ts models inspect ViT-B-32.pt", "clip-ts models inspect ./my-open-clip-folder --json"),
    )
    .action(async (path, { json, ...options }) => {
      const report = await inspectModel(await locateModel(path, io, options), options);
      if (json) io.out(JSON.stringify(report, null, 2));
      else for (const [label, text] of describe(report)) io.out(`${label.padEnd(12)}  ${text}`);
    });

const containers = {
  safetensors: "safetensors",
  shards: "safetensors in several files",
  torchScript: "TorchScript archive",
  stateDict: "PyTorch file",
  onnx: "ONNX",
} as const;

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

const blocks = ({ layers, width, heads }: { layers: number; width: number; heads: number }) =>
  `${count(layers, "block")} of width ${width}, ${count(heads, "head")}`;

function describe({ config, preprocess, ...report }: ModelReport): [string, string][] {
  const { vision, text, activation, score = "softmax" } = config;
  const tower =
    vision.kind === "vit"
      ? `ViT, ${blocks(vision)}, patches of ${vision.patchSize}`
      : `ResNet, ${vision.layers.join("-")} bottlenecks from width ${vision.width}, ${count(vision.heads, "head")} in the pool`;
  const size = Object.entries(report.bytes).map(([dtype, bytes]) => `${(bytes / 1e6).toFixed(1)} MB of ${dtype}`);
  const textTower = `${blocks(text)}, ${text.causal === false ? "not causal" : "causal"}`;
  const resize = preprocess.resizeMode === "squash" ? "squashed to" : "shorter side to, and middle of,";
  const bias = score === "sigmoid" ? `, bias ${report.logitBias.toFixed(3)}` : "";
  return [
    ["weights", `${report.weights}: ${containers[report.container]}, ${report.layout}`],
    ["size", `${report.parameters.toLocaleString("en")} parameters, ${size.join(", ")}`],
    ["architecture", report.architectures.join(", ") || "none of the published ones"],
    ["pictures", tower],
    ["texts", textTower],
    ["features", `${config.embedDim}, ${activation}${text.activation ? `, texts ${text.activation}` : ""}`],
    ["score", `${score}, scale ${Math.exp(report.logitScale).toFixed(2)}${bias}`],
    [
      "input",
      `${resize} ${preprocess.imageSize} pixels, ${preprocess.resample}, mean ${preprocess.mean.join(" ")}, std ${preprocess.std.join(" ")}`,
    ],
    [
      "vocabulary",
      `${text.vocabSize.toLocaleString("en")} tokens, ${text.contextLength} a text, ${report.vocabulary ?? "none found"}`,
    ],
  ];
}

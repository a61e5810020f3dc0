import { Command } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { listCache, removeCached } from "../../../model/hub/cache.ts";
import { defaultModel, type KnownModel, knownModels, pictograms } from "../../../model/hub/known-models.ts";
import { resolveModel } from "../../../model/hub/resolve.ts";
import { countParameters } from "../../../model/nn/parameters.ts";
import { inspectModel, type ModelReport } from "../../../model/pretrained/inspect.ts";
import { clipConfigs } from "../../../model/towers/configs.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { counted } from "../../report/numbers.ts";
import type { CliIo } from "../io.ts";
import { addStoredModelOptions, locateModel, megabytes } from "../model-options.ts";
import { examples, jsonOption } from "../options.ts";
import { printJson } from "../output.ts";
import { table } from "../terminal.ts";

export const modelsCommand = (io: CliIo) =>
  new Command("models")
    .summary("list, download and inspect models")
    .description("Lists published models, downloads them, and inspects models on disk.")
    .addCommand(listCommand(io))
    .addCommand(fetchCommand(io))
    .addCommand(inspectCommand(io))
    .addCommand(cacheCommand(io));

const listCommand = (io: CliIo) =>
  new Command("list")
    .summary("list published models")
    .description(
      "Lists published models with size, licence and zero-shot top-1 accuracy on ImageNet, as their makers or open_clip measured " +
        "it; marks the default model and the models on this machine.",
    )
    .addOption(jsonOption)
    .action(async ({ json }) => {
      const models = await Promise.all(
        knownModels.map(async (model) => ({
          ...model,
          imageNet: Math.round(100 * model.imageNet) / 10_000,
          parameters: countParameters(clipParameters(clipConfigs[model.architecture])),
          default: model.name === defaultModel,
          cached: await isCached(model),
        })),
      );
      if (json) return printJson({ results: models }, io);
      const rows = models.map(({ name, architecture, parameters, imageNet, licence, ...model }) => {
        const state = [model.default && "default", model.cached && "cached"].filter(Boolean).join(", ");
        return [name, architecture, millions(parameters), `${(100 * imageNet).toFixed(1)} %`, licence, state];
      });
      const bundled = millions(countParameters(clipParameters(clipConfigs.pictogram)));
      rows.push([pictograms, "pictogram", bundled, "–", "MIT", "in this package; knows drawings, not photos"]);
      io.out(table(["name", "architecture", "parameters", "ImageNet", "licence", "here"], rows));
    });

const millions = (parameters: number): string => `${(parameters / 1e6).toFixed(0)} M`;

async function isCached({ name }: KnownModel): Promise<boolean> {
  return resolveModel(name, { offline: true }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof ClipError && error.code === "CLIP_DOWNLOAD") return false;
      throw error;
    },
  );
}

const fetchCommand = (io: CliIo) =>
  new Command("fetch")
    .summary("download models, for machines that will be offline")
    .description(
      "Downloads models into the cache unless they are there, and prints their paths. The cache is the one of Hugging Face's " +
        "libraries; HF_HUB_CACHE and HF_HOME move it. It can be copied to another machine.",
    )
    .argument("[name...]", `published models or Hugging Face repositories (default: ${defaultModel})`)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples("clip-ts models fetch", "HF_HOME=/models clip-ts models fetch ViT-B/32 google/siglip-base-patch16-224"),
    )
    .action(async (names, { json }) => {
      const results: { name: string; path: string }[] = [];
      for (const name of names.length > 0 ? names : [defaultModel]) {
        results.push({ name, path: await locateModel(name, {}, io) });
        if (!json) io.out(results.at(-1)!.path);
      }
      if (json) printJson({ data: names, results }, io);
    });

const cacheCommand = (io: CliIo) =>
  new Command("cache")
    .summary("list or remove downloaded models")
    .description(
      "The cache is shared with Python's Hugging Face libraries, so models that they downloaded are listed too.",
    )
    .addCommand(cacheListCommand(io))
    .addCommand(cacheClearCommand(io));

const cacheListCommand = (io: CliIo) =>
  new Command("list")
    .summary("list downloaded models")
    .addOption(jsonOption)
    .action(async ({ json }) => {
      const models = await listCache();
      if (json) return printJson({ results: models }, io);
      if (models.length === 0) return io.err("the cache is empty");
      const rows = models.map(({ name, bytes }) => [name, megabytes(bytes)]);
      io.out(table(["model", "size"], rows));
    });

const cacheClearCommand = (io: CliIo) =>
  new Command("clear")
    .summary("remove downloaded models")
    .argument("[name...]", "names as clip-ts models cache list prints them")
    .option("--all", "remove all, including those that Python downloaded")
    .addOption(jsonOption)
    .action(async (names, { all, json }) => {
      const models = await listCache();
      const missing = names.filter((name) => !models.some((model) => model.name === name));
      if (missing.length > 0) throw new ClipError("CLIP_USAGE", `not in the cache: ${missing.join(", ")}`);
      if (names.length > 0 === (all === true))
        throw new ClipError("CLIP_USAGE", "give either names from clip-ts models cache list, or --all");
      const removed = models.filter(({ name }) => all || names.includes(name));
      for (const model of removed) {
        await removeCached(model);
        io.err(`removed ${model.name}, ${megabytes(model.bytes)}`);
      }
      if (json) printJson({ data: names, results: removed }, io);
    });

const inspectCommand = (io: CliIo) =>
  addStoredModelOptions(
    new Command("inspect")
      .summary("describe a model on disk")
      .description(
        "Prints a model's layout, architecture, activation, vocabulary and preprocessing, and checks that its files fit together. " +
          "It reads only the header of the weights.",
      )
      .argument("<model>", "a model folder, a weight file, or the name of a published model"),
  )
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples("clip-ts models inspect ViT-B-32.pt", "clip-ts models inspect ./my-open-clip-folder --json"),
    )
    .action(async (model, { json, offline, ...options }) => {
      const report = await inspectModel(await locateModel(model, { offline }, io), options);
      if (json) printJson({ model, results: report }, io);
      else for (const [label, text] of describe(report)) io.out(`${label.padEnd(12)}  ${printable(text)}`);
    });

const containers = {
  safetensors: "safetensors",
  shards: "safetensors in several files",
  torchScript: "TorchScript archive",
  stateDict: "PyTorch file",
  onnx: "ONNX",
} as const;

const blocks = ({ layers, width, heads }: { layers: number; width: number; heads: number }) =>
  `${counted(layers, "block")} of width ${width}, ${counted(heads, "head")}`;

function describe({ config, preprocess, ...report }: ModelReport): [string, string][] {
  const { vision, text, activation, score = "softmax" } = config;
  const tower =
    vision.kind === "vit"
      ? `ViT, ${blocks(vision)}, patches of ${vision.patchSize}`
      : `ResNet, ${vision.layers.join("-")} bottlenecks from width ${vision.width}, ${counted(vision.heads, "head")} in the pool`;
  const size = Object.entries(report.bytes).map(([dtype, bytes]) => `${megabytes(bytes)} of ${dtype}`);
  const resize = preprocess.resizeMode === "squash" ? "squashed to" : "shorter side resized and center cropped to";
  const bias = score === "sigmoid" ? `, bias ${report.logitBias.toFixed(3)}` : "";
  return [
    ["weights", `${report.weights}: ${containers[report.container]}, ${report.layout}`],
    ["size", `${report.parameters.toLocaleString("en")} parameters, ${size.join(", ")}`],
    ["architecture", report.architectures.join(", ") || "none of the published ones"],
    ["images", tower],
    ["texts", `${blocks(text)}, ${text.causal === false ? "not causal" : "causal"}`],
    ["features", `${config.embedDim}, ${activation}${text.activation ? `, texts ${text.activation}` : ""}`],
    ["score", `${score}, scale ${Math.exp(report.logitScale).toFixed(2)}${bias}`],
    [
      "input",
      `${resize} ${preprocess.imageSize} pixels, ${preprocess.resample}, mean ${preprocess.mean.join(" ")}, std ${preprocess.std.join(" ")}`,
    ],
    [
      "vocabulary",
      `${text.vocabSize.toLocaleString("en")} tokens, at most ${text.contextLength} per text, ${report.vocabulary ?? "none found"}`,
    ],
  ];
}

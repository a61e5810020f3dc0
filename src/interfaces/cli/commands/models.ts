import { Command } from "@commander-js/extra-typings";
import { inspectModel, type ModelReport } from "../../../model/pretrained/inspect.ts";
import { ClipError } from "../../../core/errors.ts";
import { printable } from "../../../core/printable.ts";
import { defaultModel, type KnownModel, knownModels, pictograms } from "../../../model/hub/known-models.ts";
import { listCache, removeCached } from "../../../model/hub/cache.ts";
import { resolveModel } from "../../../model/hub/resolve.ts";
import { clipConfigs } from "../../../model/towers/configs.ts";
import { countParameters } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
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
    .addCommand(fetchCommand(io))
    .addCommand(inspectCommand(io))
    .addCommand(cacheCommand(io));

const listCommand = (io: CliIo) =>
  new Command("list")
    .summary("list published models")
    .description(
      "Lists published models with their size, licence and zero-shot accuracy on ImageNet, as their makers or open_clip " +
        "measured it; says which is the default, and which are on this machine.",
    )
    .option("--json", "print it as JSON")
    .action(async ({ json }) => {
      const models = await Promise.all(
        knownModels.map(async (model) => ({
          ...model,
          parameters: countParameters(clipParameters(clipConfigs[model.architecture])),
          default: model.name === defaultModel,
          cached: await isCached(model),
        })),
      );
      if (json) return io.out(JSON.stringify(models, null, 2));
      const rows = models.map((model) => {
        const state = [model.default && "default", model.cached && "cached"].filter(Boolean).join(", ");
        const { name, architecture, parameters, imageNet, licence } = model;
        return [name, architecture, millions(parameters), `${imageNet.toFixed(1)} %`, licence, state];
      });
      const own = "in this package; knows drawings, not photos";
      rows.push([
        pictograms,
        "pictogram",
        millions(countParameters(clipParameters(clipConfigs.pictogram))),
        "–",
        "MIT",
        own,
      ]);
      io.out(table(["name", "architecture", "parameters", "ImageNet", "licence", "here"], rows));
    });

const millions = (parameters: number): string => `${(parameters / 1e6).toFixed(0)} M`;

/** Whether a model is on this machine. */
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
    .summary("fetch models, for machines that will be offline")
    .description(
      "Fetches models into the cache unless they are there, and prints their places. The cache is that of Hugging Face's " +
        "libraries: HF_HUB_CACHE or HF_HOME name another folder, and it can be copied to another machine.",
    )
    .argument("[name...]", `published names, or repositories of Hugging Face's hub (default: ${defaultModel})`)
    .addHelpText(
      "after",
      examples("clip-ts models fetch", "HF_HOME=/models clip-ts models fetch ViT-B/32 google/siglip-base-patch16-224"),
    )
    .action(async (names) => {
      for (const name of names.length > 0 ? names : [defaultModel]) io.out(await locateModel(name, io, {}));
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
    .action(async (path, { json, offline, ...options }) => {
      const report = await inspectModel(await locateModel(path, io, { offline }), options);
      if (json) io.out(JSON.stringify(report, null, 2));
      else for (const [label, text] of describe(report)) io.out(`${label.padEnd(12)}  ${printable(text)}`);
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
    ["images", tower],
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

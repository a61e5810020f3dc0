import { basename } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { conversions, convertModel } from "../../../model/pretrained/convert.ts";
import { misread } from "../../../model/pretrained/conversion-warnings.ts";
import { readModel } from "../../../model/pretrained/model-folder.ts";
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

/** Writes a model as others read it. */
export const convertCommand = (io: CliIo) =>
  new Command("convert")
    .summary("write a model as others read it")
    .description(
      "Reads a model in any of the layouts that are read and writes it in another, with the configs and the vocabulary that " +
        "belong to it: openai is one safetensors file in OpenAI's names, hf a folder for Hugging Face's CLIPModel or " +
        "SiglipModel, open_clip one for open_clip; their weights keep their bytes. onnx is as hf with ONNX files in the place of " +
        "the weights, for plain ONNX Runtime and transformers.js.",
    )
    .argument("<in>", "a model folder or weight file, or the name of a published model")
    .argument("<out>", "the folder to write, or for openai the file")
    .addOption(new Option("--to <layout>", "whose files to write").choices(conversions).makeOptionMandatory())
    .addOption(new Option("--dtype <name>", "halve float32 matrices").choices(["f16"] as const))
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(imageSizeOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts convert ViT-B-32.pt clip-hf --to hf",
        "clip-ts convert ViT-B/32 clip-onnx --to onnx --dtype f16",
        "clip-ts convert runs/own/model own.safetensors --to openai",
      ),
    )
    .action(async (source, out, { to, dtype, offline, ...options }) => {
      const model = await readModel(await locateModel(source, io, { offline }), options);
      const written = await convertModel(model, out, {
        to,
        ...(dtype && { dtype: "F16" }),
        signal: io.signal,
        onProgress: ({ path, written, total }) =>
          io.progress(`${basename(path)}  ${megabytes(written)} of ${megabytes(total)}`),
      });
      io.err(`wrote ${written.join(", ")}`);
      for (const warning of await misread(model, to)) io.err(`warning: ${warning}`);
    });

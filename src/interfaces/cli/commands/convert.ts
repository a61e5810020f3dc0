import { basename } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { misread } from "../../../model/pretrained/conversion-warnings.ts";
import { conversions, convertModel } from "../../../model/pretrained/convert.ts";
import type { CliIo } from "../io.ts";
import { addStoredModelOptions, megabytes, readChosenModel } from "../model-options.ts";
import { examples, jsonOption } from "../options.ts";
import { printJson } from "../output.ts";

export const convertCommand = (io: CliIo) =>
  addStoredModelOptions(
    new Command("convert")
      .summary("convert a model to another layout")
      .description(
        "Reads a model in any layout that clip-ts reads and writes it in another, with configs and vocabulary: openai is one " +
          "safetensors file with OpenAI's tensor names, hf a folder for Hugging Face's CLIPModel or SiglipModel, open_clip a folder " +
          "for open_clip. The bytes of the weights stay the same. onnx is hf with ONNX files instead of the weights, for ONNX " +
          "Runtime and transformers.js.",
      )
      .argument("<in>", "a model folder, a weight file, or the name of a published model")
      .argument("<out>", "the folder to write; for openai, the file")
      .addOption(new Option("--to <layout>", "the layout to write").choices(conversions).makeOptionMandatory())
      .option("--half", "write float32 matrices as float16"),
  )
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts convert ViT-B-32.pt clip-hf --to hf",
        "clip-ts convert ViT-B/32 clip-onnx --to onnx --half",
        "clip-ts convert runs/own/model own.safetensors --to openai",
      ),
    )
    .action(async (source, out, { to, half, json, ...options }) => {
      const model = await readChosenModel({ ...options, model: source }, io);
      const files = await convertModel(model, out, {
        to,
        ...(half && { dtype: "F16" }),
        signal: io.signal,
        onProgress: ({ path, written, total }) =>
          io.progress(`${basename(path)}  ${megabytes(written)} of ${megabytes(total)}`),
      });
      io.err(`wrote ${files.join(", ")}`);
      const warnings = await misread(model, to);
      for (const warning of warnings) io.err(`warning: ${warning}`);
      if (json) printJson({ model: source, results: { files, warnings } }, io);
    });

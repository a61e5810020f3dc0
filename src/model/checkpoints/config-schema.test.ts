import { describe, expect, it } from "vitest";
import { parseStrict } from "../../core/parse.ts";
import { type ClipConfig } from "../towers/config.ts";
import { clipConfigs } from "../towers/configs.ts";
import { clipConfigSchema } from "./config-schema.ts";

describe("clipConfigSchema", () => {
  it("takes every published architecture through JSON and back", () => {
    for (const config of Object.values<ClipConfig>(clipConfigs))
      expect(parseStrict(clipConfigSchema, JSON.parse(JSON.stringify(config)), "config.json")).toEqual(config);
  });

  it("has no default for the activation, and names a misspelt key with its neighbour", () => {
    const config = clipConfigs["ViT-B-32"];
    const wrong = { ...config, activation: undefined, vision: { ...config.vision, imagesize: 224 } };
    expect(() => parseStrict(clipConfigSchema, wrong, "config.json")).toThrow(
      'config.json is invalid\n  activation is missing; it is one of quickGelu, gelu, geluTanh\n  vision.imagesize is unknown; did you mean "imageSize"?',
    );
  });

  it("refuses sizes that nobody can mean", () => {
    const config = { ...clipConfigs["ViT-B-32"], text: { ...clipConfigs["ViT-B-32"].text, layers: 1e9 } };
    expect(() => parseStrict(clipConfigSchema, config, "config.json")).toThrow(/text.layers/);
  });
});

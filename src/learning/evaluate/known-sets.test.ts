import { describe, expect, it } from "vitest";
import { knownSets, publishedScore } from "./known-sets.ts";

const scoreOf = (set: string, model: string) =>
  publishedScore(
    knownSets.find(({ name }) => name === set)!,
    model,
  );

describe("what was published", () => {
  it("of a model is found by OpenAI's name and by that of the hub", () => {
    const score = { metric: "top1", paper: 0.632, released: 0.633 };
    expect(scoreOf("imagenet", "ViT-B/32")).toEqual(score);
    expect(scoreOf("imagenet", "openai/clip-vit-base-patch32")).toEqual(score);
    expect(scoreOf("cifar100", "openai/clip-vit-large-patch14-336")).toMatchObject({ paper: 0.775, released: 0.744 });
  });

  it("is what the paper has: of many sets its largest model alone", () => {
    expect(scoreOf("pets", "ViT-L/14@336px")).toEqual({ metric: "meanPerClass", paper: 0.935, released: undefined });
    expect(scoreOf("pets", "ViT-B/32")).toMatchObject({ paper: undefined, released: undefined });
    expect(scoreOf("imagenet", "RN50x64")).toMatchObject({ paper: 0.736, released: 0.7391 });
  });

  it("of others' models on ImageNet is their makers' figure, and of the same architecture none is mixed up", () => {
    expect(scoreOf("imagenet", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K")).toMatchObject({
      ...{ paper: undefined, released: 0.6656 },
    });
    expect(scoreOf("imagenet", "apple/DFN2B-CLIP-ViT-B-16")).toMatchObject({ paper: undefined, released: 0.7624 });
    expect(scoreOf("mnist", "./my-own-model")).toMatchObject({ paper: undefined, released: undefined });
  });
});

it("no name and no place stands in the table twice, and each set has a figure of the paper", () => {
  for (const key of ["name", "repository"] as const)
    expect(new Set(knownSets.map((set) => set[key])).size).toBe(knownSets.length);
  for (const set of knownSets) expect(publishedScore(set, "ViT-L/14@336px").paper).toBeGreaterThan(0.2);
});

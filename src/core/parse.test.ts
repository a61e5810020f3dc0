import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { parseStrict, readJson } from "./parse.ts";

const schema = z.strictObject({
  learningRate: z.number().positive(),
  model: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("vit"), patchSize: z.int() }),
    z.strictObject({ kind: z.literal("resnet"), norm: z.enum(["batch", "group"]) }),
  ]),
  sources: z.array(z.strictObject({ folder: z.string() })).optional(),
});

const messageOf = (value: unknown) => {
  try {
    parseStrict(schema, value, "train.json");
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("was accepted");
};

describe("parseStrict", () => {
  it("returns a valid value", () => {
    const value = { learningRate: 1e-3, model: { kind: "vit", patchSize: 32 } };
    expect(parseStrict(schema, value, "train.json")).toEqual(value);
  });

  it("reports all problems at once, with a suggestion for each misspelt key", () => {
    const value = {
      learningrate: 1e-3,
      model: { kind: "vit", pachSize: 32 },
      sources: [{ folder: "a" }, { flder: "b" }],
    };
    expect(messageOf(value).split("\n")).toEqual([
      "train.json is invalid",
      "  learningRate is missing",
      "  model.patchSize is missing",
      '  model.pachSize is unknown; did you mean "patchSize"?',
      "  sources.1.folder is missing",
      '  sources.1.flder is unknown; did you mean "folder"?',
      '  learningrate is unknown; did you mean "learningRate"?',
    ]);
  });

  it("lists the known keys if none is similar", () => {
    expect(messageOf({ learningRate: 1, model: { kind: "vit", patchSize: 1 }, zebra: 1 })).toContain(
      "zebra is unknown; known: learningRate, model, sources",
    );
  });

  it("treats a key named __proto__ as unknown", () => {
    const hostile: unknown = JSON.parse('{"learningRate":1,"model":{"kind":"vit","patchSize":1},"__proto__":{"x":1}}');
    expect(messageOf(hostile)).toContain("__proto__ is unknown");
  });
});

describe("readJson", () => {
  it("reports a missing file and invalid JSON", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clip-ts-"));
    const path = join(folder, "config.json");
    await expect(readJson(schema, path)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringContaining(path) as string,
    });
    await writeFile(path, "{ learningRate: 1 }");
    await expect(readJson(schema, path)).rejects.toMatchObject({
      code: "CLIP_CONFIG",
      message: expect.stringContaining("is not JSON") as string,
    });
  });
});

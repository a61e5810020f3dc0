import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { damage } from "../../../test/damage.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { ClipError } from "../../core/errors.ts";
import { readFloats, readIntegers } from "./stored-tensor.ts";
import { openWeightFile } from "./weight-file.ts";

/** Made by scripts/fixtures-archives.py. */
const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/archives/${name}`, import.meta.url));
const folder = await temporaryFolder();
let files = 0;
const save = async (bytes: Uint8Array) => {
  const path = join(folder, `${files++}.pt`);
  await writeFile(path, bytes);
  return path;
};

const wanted = {
  "inner.weight": ["F32", [2, 3], [0, 0.25, 0.5, 0.75, 1, 1.25]],
  "inner.bias": ["F16", [3], [-1, 0, 1]],
  scale: ["F32", [], [2.5]],
  count: ["I64", [], [7]],
};

async function contents(path: string) {
  const { tensors } = await openWeightFile(path);
  const rows = Array.from(tensors, async ([name, tensor]) => {
    const { data } = await (tensor.dtype === "I64" ? readIntegers(tensor) : readFloats(tensor));
    return [name, [tensor.dtype, tensor.shape, [...data]]] as const;
  });
  return Object.fromEntries(await Promise.all(rows));
}

describe("PyTorch's files", () => {
  it.each(["state_dict.pt", "legacy.pt", "torch-script.pt", "training.pt", "training-legacy.pt"])(
    "finds the tensors of %s where they lie",
    async (name) => {
      expect(await contents(fixture(name))).toEqual(wanted);
      const { container } = await openWeightFile(fixture(name));
      expect(container).toBe(name === "torch-script.pt" ? "torchScript" : "stateDict");
    },
  );

  // Headers of these lengths begin with the bytes of a pickle and of a zip archive.
  it.each([0x0280, 0x4b50])("does not take safetensors with a header of %i bytes for one", async (length) => {
    const entry = JSON.stringify({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } });
    const bytes = Buffer.alloc(8 + length + 4, " ");
    bytes.writeBigUInt64LE(BigInt(length));
    bytes.write(entry, 8);
    bytes.writeFloatLE(2.5, 8 + length);
    const { container, tensors } = await openWeightFile(await save(bytes));
    expect(container).toBe("safetensors");
    expect([...(await readFloats(tensors.get("a")!)).data]).toEqual([2.5]);
  });

  it("finds a view behind its offset", async () => {
    expect(await contents(fixture("views.pt"))).toEqual({
      rows: ["F32", [2, 3], [3, 4, 5, 6, 7, 8]],
      all: ["F32", [4, 3], Array.from({ length: 12 }, (_, i) => i)],
    });
  });

  it.each(["permuted.pt", "permuted-legacy.pt"])("gives the axes of %s in their order", async (name) => {
    const range = (length: number) => Array.from({ length }, (_, i) => i);
    expect(await contents(fixture(name))).toEqual({
      turned: ["F32", [3, 4], range(12).map((i) => (i % 4) * 3 + Math.floor(i / 4))],
      channels_last: ["F16", [2, 3, 2, 2], range(24)],
      permuted: ["I64", [2, 3, 4], range(24).map((i) => (i % 4) * 6 + Math.floor(i / 4))],
      one: ["F32", [1, 3, 1], range(3)],
    });
    const { tensors } = await openWeightFile(fixture(name));
    expect(tensors.get("channels_last")).toMatchObject({ order: [0, 2, 3, 1] });
    expect(tensors.get("one")).not.toHaveProperty("order");
  });

  it.each([
    ["expanded.pt", '"expanded", [4, 3] in steps of [0, 1], repeats or skips elements; save it with .contiguous()'],
    ["overlapping.pt", '"windows", [4, 3] in steps of [1, 1], repeats or skips elements'],
    ["skipping.pt", '"columns", [4, 2] in steps of [3, 2], repeats or skips elements'],
    ["command-bare.pt", "unknown format"],
  ])("refuses %s", async (name, message) => {
    await expect(openWeightFile(fixture(name))).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: expect.stringContaining(message) as string,
    });
    await expect(stat("executed")).rejects.toThrow("ENOENT");
  });

  it("runs nothing of a command beside the weights", async () => {
    expect(await contents(fixture("command.pt"))).toEqual(wanted);
    await expect(stat("executed")).rejects.toThrow("ENOENT");
  });

  it("says what is wrong with a file that was cut", async () => {
    for (const name of ["state_dict.pt", "legacy.pt"]) {
      const bytes = await readFile(fixture(name));
      const cut = openWeightFile(await save(bytes.subarray(0, bytes.length - 30)));
      await expect(cut).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
    }
    const missing = openWeightFile(join(folder, "none.pt"));
    await expect(missing).rejects.toMatchObject({ code: "CLIP_FILE" });
  });

  // 20,000 of each kind: `npx tsx scripts/fuzz-weights.ts`.
  it.each(["state_dict.pt", "legacy.pt", "torch-script.pt", "permuted.pt"])(
    "reads or refuses each of 150 damaged copies of %s, and keeps inside it",
    async (name) => {
      const whole = await readFile(fixture(name));
      for (let seed = 0; seed < 150; seed++) {
        const path = await save(damage(whole, seed));
        const { size } = await stat(path);
        const start = process.cpuUsage();
        try {
          for (const { byteOffset, byteLength } of (await openWeightFile(path)).tensors.values())
            expect(byteOffset + byteLength, `seed ${seed}`).toBeLessThanOrEqual(size);
        } catch (error) {
          expect(error, `seed ${seed}`).toBeInstanceOf(ClipError);
          expect((error as Error).message).toContain(path);
        }
        // Of the processor, since a clock counts other programs too.
        expect(process.cpuUsage(start).user, `seed ${seed}`).toBeLessThan(1e6);
      }
    },
  );
});

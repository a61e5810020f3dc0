import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { npyBytes, readNpy } from "./npy.ts";

const path = join(await temporaryFolder(), "array.npy");
const read = async (bytes: Uint8Array) => {
  await writeFile(path, bytes);
  return readNpy(path);
};

it("reads bytes, whole numbers, half and single precision as they are", async () => {
  const half = Uint16Array.of(0x3c00, 0xc000, 0x3555); // 1, −2, the float16 next to 1/3
  const single = Float32Array.of(1.5, -2.25, 1 / 3);
  expect(await read(npyBytes("|u1", [3, 1], Uint8Array.of(0, 7, 255)))).toMatchObject({ shape: [3, 1] });
  expect((await read(npyBytes("|u1", [3], Uint8Array.of(0, 7, 255)))).data).toEqual(Float32Array.of(0, 7, 255));
  expect((await read(npyBytes("<f2", [3], half))).data).toEqual(Float32Array.of(1, -2, 0.333251953125));
  expect((await read(npyBytes("<f4", [3], single))).data).toEqual(single);
  expect((await read(npyBytes("<i8", [2], BigInt64Array.of(-1n, 16_777_216n)))).data).toEqual(
    Float32Array.of(-1, 2 ** 24),
  );
  expect((await read(npyBytes("<i4", [2], Int32Array.of(-1, 7)))).data).toEqual(Float32Array.of(-1, 7));
});

it("says what it cannot read", async () => {
  await expect(readNpy(join(path, "nowhere"))).rejects.toThrow(/cannot read .*nowhere/);
  await expect(read(new Uint8Array(4))).rejects.toThrow(/is no array as NumPy saves it in its format 1/);
  await expect(read(npyBytes("<f8", [1], new Float64Array(1)))).rejects.toThrow(
    /'<f8'.*read are \|b1, \|u1, <i4, <i8, <f2, <f4/,
  );
  await expect(read(npyBytes("<f4", [2, 2], new Float32Array(3)))).rejects.toThrow(/has 12 bytes .* promises 16/);
});

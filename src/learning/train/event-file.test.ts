import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { crc32c, EventFile, tfRecord } from "./event-file.ts";

describe("crc32c", () => {
  // RFC 3720, appendix B.4, and the usual check value.
  it.each([
    ["123456789", Buffer.from("123456789"), 0xe3069283],
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 times 255", new Uint8Array(32).fill(255), 0x62a8ab43],
    ["0 to 31", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ])("of %s is the published one", (_, bytes, wanted) => expect(crc32c(bytes)).toBe(wanted));
});

/** The messages of a file, each without its time; lengths and checksums are looked at. */
async function messagesOf(path: string): Promise<string[]> {
  const bytes = await readFile(path);
  const messages: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    const message = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.subarray(at, at + 16 + length)).toEqual(tfRecord(message));
    // Field 1, 64 bits.
    expect(message[0]).toBe(0x09);
    expect(Math.abs(message.readDoubleLE(1) - Date.now() / 1000)).toBeLessThan(3600);
    messages.push(message.subarray(9).toString("latin1"));
    at += 16 + length;
  }
  return messages;
}

it("an event file holds its version, where it begins, and the curves, as TensorBoard's messages say it", async () => {
  const folder = join(await temporaryFolder(), "events");
  {
    await using events = await EventFile.create(folder, 300);
    await events.write(300, { loss: 0.5, "zero-shot/top-1": 1 });
  }
  const [name, ...others] = await readdir(folder);
  expect(others).toEqual([]);
  expect(name).toMatch(/^events\.out\.tfevents\.\d+\.clip-ts$/);
  expect(await messagesOf(join(folder, name!))).toEqual([
    "\x1a\x0dbrain.Event:2",
    "\x10\xac\x02" + "\x3a\x02" + "\x08\x01",
    "\x10\xac\x02" +
      "\x2a\x25" +
      ("\x0a\x0b" + "\x0a\x04loss" + "\x15\x00\x00\x00\x3f") +
      ("\x0a\x16" + "\x0a\x0fzero-shot/top-1" + "\x15\x00\x00\x80\x3f"),
  ]);
});

it("a record of a length of 3 has the masked checksums of TensorFlow's writer", () => {
  // length 3 little-endian; mask: turned right by 15, plus 0xa282ead8
  const mask = (crc: number) => ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) % 2 ** 32;
  const bytes = Buffer.from(tfRecord(Buffer.from("abc")));
  expect(bytes.subarray(0, 8)).toEqual(Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]));
  expect(bytes.readUInt32LE(8)).toBe(mask(crc32c(Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]))));
  // CRC-32C of "abc"
  expect(bytes.readUInt32LE(15)).toBe(mask(0x364b3fb7));
});

it("says when the folder cannot be made", async () => {
  const folder = join(await temporaryFolder(), "events");
  await (await EventFile.create(folder, 0))[Symbol.asyncDispose]();
  const [file] = await readdir(folder);
  await expect(EventFile.create(join(folder, file!), 0)).rejects.toMatchObject({ code: "CLIP_FILE" });
});

import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { cannotWrite, makeFolder } from "../../core/atomic-write.ts";
import { ProtobufWriter } from "../../engine/onnx/protobuf.ts";

/** Field numbers of TensorBoard's messages. */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const summary = { value: 1 } as const;
const value = { tag: 1, simpleValue: 2 } as const;
const sessionLog = { status: 1, start: 1 } as const;

/**
 * A TensorBoard event file: records of `Event` messages, each with its length and checksums.
 *
 * @see {@link https://github.com/tensorflow/tensorboard | TensorBoard} `compat/proto/event.proto`, `summary.proto`; records as in
 *   TensorFlow's `lib/io/record_writer.h`.
 */
export class EventFile implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Starts a new file beside those from before the run was resumed; TensorBoard drops their values from `nextStep` on.
   *
   * @throws {ClipError} `CLIP_FILE` if the folder cannot be written.
   */
  static async create(folder: string, nextStep: number): Promise<EventFile> {
    const path = join(folder, `events.out.tfevents.${Date.now()}.clip-ts`);
    const why = "the run was not started";
    await makeFolder(folder, why);
    const file = await open(path, "wx").catch((cause: Error) => {
      throw cannotWrite(path, cause, why);
    });
    const events = new EventFile(path, file);
    await events.#write(newEvent().string(event.fileVersion, "brain.Event:2"));
    const started = new ProtobufWriter().int(sessionLog.status, sessionLog.start);
    await events.#write(newEvent().int(event.step, nextStep).message(event.sessionLog, started));
    return events;
  }

  /**
   * Appends a point to each of some curves.
   *
   * @throws {ClipError} `CLIP_FILE` if the disk is full.
   */
  async write(step: number, scalars: Readonly<Record<string, number>>): Promise<void> {
    const values = new ProtobufWriter();
    for (const [tag, scalar] of Object.entries(scalars)) {
      values.message(summary.value, new ProtobufWriter().string(value.tag, tag).float(value.simpleValue, scalar));
    }
    await this.#write(newEvent().int(event.step, step).message(event.summary, values));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #write(message: ProtobufWriter): Promise<void> {
    await this.#file.appendFile(tfRecord(message.finish())).catch((cause: Error) => {
      throw cannotWrite(this.#path, cause, "resume the run from its last checkpoint");
    });
  }
}

const newEvent = () => new ProtobufWriter().double(event.wallTime, Date.now() / 1000);

/** A record: length, its checksum, the bytes, their checksum. */
export function tfRecord(bytes: Uint8Array): Uint8Array {
  const whole = Buffer.alloc(16 + bytes.length);
  whole.writeBigUInt64LE(BigInt(bytes.length));
  whole.writeUInt32LE(masked(crc32c(whole.subarray(0, 8))), 8);
  whole.set(bytes, 12);
  whole.writeUInt32LE(masked(crc32c(bytes)), 12 + bytes.length);
  return whole;
}

/** The masked checksum of TensorFlow's records, for data that itself contains checksums. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli); Node's zlib has the other polynomial. */
export function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

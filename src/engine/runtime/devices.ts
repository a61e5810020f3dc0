import type { ThreadModule } from "../threads/thread.ts";

/** What computes: the processor (in a page through WebAssembly), or the graphics processor through WebGPU. */
export type Device = "cpu" | "webgpu";

const worker = "engine/runtime/session-worker";

/** The module of the thread that runs a device's sessions. */
export const sessionWorkers: Readonly<Record<Device, ThreadModule>> = { cpu: worker, webgpu: worker };

/** The device to use unless another is asked for. */
export const bestDevice = (): Promise<Device> => Promise.resolve("cpu");

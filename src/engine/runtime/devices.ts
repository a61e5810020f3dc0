import type { ThreadModule } from "../threads/thread.ts";

/** Device of a session: the CPU (in a page through WebAssembly), or the GPU through WebGPU. */
export type Device = "cpu" | "webgpu";

const worker = "engine/runtime/session-worker";

/** Worker module that runs a device's sessions. */
export const sessionWorkers: Readonly<Record<Device, ThreadModule>> = { cpu: worker, webgpu: worker };

export const bestDevice = (): Promise<Device> => Promise.resolve("cpu");

import type { ThreadModule } from "../threads/thread.ts";
import type { Device } from "./devices.ts";

export type { Device };

/** Each worker has its own build of ONNX Runtime, and a page fetches only the one it needs. */
export const sessionWorkers: Readonly<Record<Device, ThreadModule>> = {
  cpu: () => new Worker(new URL("./session-worker-wasm.js", import.meta.url), { type: "module" }),
  webgpu: () => new Worker(new URL("./session-worker-webgpu.js", import.meta.url), { type: "module" }),
};

/** The part of WebGPU used here; missing in TypeScript's types. */
interface Gpu {
  requestAdapter(): Promise<{ readonly info?: { readonly isFallbackAdapter?: boolean } } | null>;
}

let best: Promise<Device> | undefined;

/** The GPU if the page can use a hardware one, else the CPU; determined once, since Chromium logs each failure to the console. */
export const bestDevice = (): Promise<Device> => (best ??= askForAdapter());

async function askForAdapter(): Promise<Device> {
  const { gpu } = navigator as Navigator & { readonly gpu?: Gpu };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return adapter && !adapter.info?.isFallbackAdapter ? "webgpu" : "cpu";
}

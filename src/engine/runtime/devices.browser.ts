import type { Device } from "./devices.ts";

export type { Device };

/**
 * Each has a build of ONNX Runtime of its own, of which only the one that is needed is fetched. Where they really are stands in
 * thread.browser.ts, since bundlers want it there.
 */
export const sessionWorkers: Readonly<Record<Device, string>> = {
  cpu: "session-worker-wasm",
  webgpu: "session-worker-webgpu",
};

/** What of WebGPU is asked here; not in TypeScript's own types. */
interface Gpu {
  requestAdapter(): Promise<{ readonly info?: { readonly isFallbackAdapter?: boolean } } | null>;
}

let best: Promise<Device> | undefined;

/** The graphics processor, if the browser offers a real one to pages; asked once, since Chromium writes each refusal to the console. */
export const bestDevice = (): Promise<Device> => (best ??= askForAdapter());

async function askForAdapter(): Promise<Device> {
  const { gpu } = navigator as Navigator & { readonly gpu?: Gpu };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return adapter && !adapter.info?.isFallbackAdapter ? "webgpu" : "cpu";
}

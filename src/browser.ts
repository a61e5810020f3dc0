// The door "clip-ts" in a page.

export * from "./everywhere.ts";

export { bestDevice, type Device } from "./engine/runtime/devices.browser.ts";
export { clearCache } from "./core/files.browser.ts";
export { decodeImage } from "./inputs/image/decode.browser.ts";

import { defineConfig } from "vitest/config";

/** In milliseconds. */
const patience = 20 * 60_000;

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "scripts/**/*.test.ts"],
    // A limit is for what hangs: on a machine with other work everything may take twenty times as long.
    testTimeout: patience,
    hookTimeout: patience,
    teardownTimeout: patience,
    expect: { poll: { timeout: patience } },
    // onnxruntime-node refuses typed arrays of another realm, so never the vm pools.
    pool: "forks",
    maxWorkers: 2,
  },
});

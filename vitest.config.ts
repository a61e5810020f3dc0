import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "scripts/**/*.test.ts"],
    testTimeout: 60_000,
    // onnxruntime-node refuses typed arrays of another realm, so never the vm pools.
    pool: "forks",
    maxWorkers: 2,
  },
});

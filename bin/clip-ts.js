#!/usr/bin/env node
import { existsSync } from "node:fs";

const main = new URL("../dist/interfaces/cli/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href).then(({ main }) => main());
} else {
  console.error("clip-ts: this checkout is not built yet; run: npm run build");
  process.exitCode = 1;
}

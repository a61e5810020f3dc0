/** `npm run bench` lists the benchmarks; `npm run bench -- NAME [options]` runs one. */
import { readdirSync } from "node:fs";

const names = readdirSync(new URL(".", import.meta.url))
  .filter((file) => file.endsWith(".ts") && file !== "run.ts")
  .map((file) => file.slice(0, -".ts".length));

const [name] = process.argv.splice(2, 1);
if (name !== undefined && names.includes(name)) await import(`./${name}.ts`);
else console.log(`Choose one: ${names.join(", ")}\n  npm run bench -- ${names[0]} --json`);

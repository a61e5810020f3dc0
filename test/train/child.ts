// A training run in a process of its own, for the tests that end it: `child.ts FOLDER CONFIGURATION-AS-JSON`. Goes on from
// the folder's checkpoint, says each step, and stops on Ctrl-C as the command does.
import { train } from "../../src/learning/train/train.ts";
import { type TrainConfig } from "../../src/learning/train/config.ts";

const [out, config] = process.argv.slice(2) as [string, string];
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
await train(JSON.parse(config) as TrainConfig, {
  out,
  resume: true,
  signal: stop.signal,
  onProgress: ({ step }) => console.log(`step ${step}`),
});

// One of several processes that train together: `train-child.ts FOLDER CONFIGURATION-AS-JSON`. Goes on from the folder's checkpoint, says
// who it is and each step, and stops when it is told to, as the command does.
import { train } from "../../src/learning/train/train.ts";
import { type TrainConfig } from "../../src/learning/train/config.ts";

const [out, config] = process.argv.slice(2) as [string, string];
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
console.log(`process ${process.env["OMPI_COMM_WORLD_RANK"]} is ${process.pid}`);
const { finished, rank, communicationShare } = await train(JSON.parse(config) as TrainConfig, {
  out,
  resume: true,
  signal: stop.signal,
  onProgress: ({ step }) => console.log(`step ${step}`),
});
console.log(JSON.stringify({ rank, finished, communicated: communicationShare > 0 }));

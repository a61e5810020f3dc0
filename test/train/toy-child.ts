// A toy run in a process of its own that kills itself ahead of a call to the disk: `toy-child.ts FOLDER CALL`.
import { watchDisk } from "./faulty-disk.ts";
import { toyRun } from "./toy-run.ts";

const [folder, call] = process.argv.slice(2) as [string, string];
let count = 0;
watchDisk(() => {
  if (count++ === Number(call)) process.kill(process.pid, "SIGKILL");
});
await toyRun(folder);

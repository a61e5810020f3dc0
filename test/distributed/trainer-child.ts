// One of several processes that make steps together: `trainer-child.ts FOLDER STEPS`. The first leaves what came out of each case.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serialize } from "node:v8";
import { joinGroup } from "../../src/engine/distributed/open-mpi.ts";
import { cases, makeSteps } from "./trainer-steps.ts";

const [folder, steps] = process.argv.slice(2) as [string, string];
const group = await joinGroup();
for (const name of Object.keys(cases)) {
  const outcome = await makeSteps(name, Number(steps), group);
  if (group.rank === 0) await writeFile(join(folder, name), serialize(outcome));
}
group.leave();

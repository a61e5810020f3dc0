import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Called } from "../cli/call.ts";

/** Whether Open MPI's launcher is here; a test that needs it says so otherwise. */
export const hasMpirun = (() => {
  try {
    return execFileSync("mpirun", ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).includes(
      "Open MPI",
    );
  } catch {
    return false;
  }
})();
const install = "apt-get install openmpi-bin";
/** What a title says where it is missing. */
export const unlessThere = hasMpirun ? "" : ` (skipped: there is no mpirun of Open MPI; ${install})`;
if (!hasMpirun) console.error(`the tests of several processes are skipped: there is no mpirun of Open MPI; ${install}`);

/** As many processes on this machine as a test asks for, as root in a container too, which do not take the cores while they wait. */
const flags = [
  ...["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"],
  ...["--mca", "mpi_yield_when_idle", "1"],
];
/** Gives processes time to end well when they are told to. */
export const patiently = ["--mca", "odls_base_sigkill_timeout", "5"];

/** A program of Node's and its arguments; a script by its path from this folder. */
type Program = readonly [script: string, ...args: string[]];

/** Starts so many processes of a program, and then perhaps of others. */
export function startJob(
  programs: readonly { readonly processes: number; readonly program: Program }[],
  more: readonly string[] = [],
): ChildProcess {
  const parts = programs.map(({ processes, program: [script, ...args] }) => {
    const path = fileURLToPath(new URL(script, import.meta.url));
    const loader = path.endsWith(".ts") ? ["--import", "tsx"] : [];
    return ["-n", String(processes), process.execPath, ...loader, path, ...args];
  });
  const all = parts.flatMap((part, i) => (i === 0 ? part : [":", ...part]));
  return spawn("mpirun", [...flags, ...more, ...all], { stdio: ["ignore", "pipe", "pipe"] });
}

/** Waits for the end of a job. */
export async function ended(job: ChildProcess): Promise<Called> {
  const code = new Promise<number>((resolve) => job.on("close", (exitCode) => resolve(exitCode ?? -1)));
  const [out, err] = await Promise.all([text(job.stdout!), text(job.stderr!)]);
  return { code: await code, out, err };
}

/** Runs so many processes of a program to their end. */
export function mpirun(processes: number, program: Program): Promise<Called> {
  return ended(startJob([{ processes, program }]));
}

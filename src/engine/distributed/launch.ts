import { availableParallelism, cpus } from "node:os";

/** A place among processes that were started together. */
interface Launch {
  /** What started them. */
  readonly launcher: string;
  /** The number of this process, from 0. */
  readonly rank: number;
  readonly size: number;
}

/** By which variables launchers tell a process its place; the first that is there holds. */
const launchers = [
  { launcher: "mpirun", rank: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE" },
  { launcher: "srun", rank: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS" },
  { launcher: "an mpiexec that is not Open MPI's", rank: "PMI_RANK", size: "PMI_SIZE" },
] as const;

/** The place of this process among those that `mpirun` or `srun` started; without them it is the only one. */
export function launched(environment: Readonly<Record<string, string | undefined>> = process.env): Launch {
  for (const { launcher, ...names } of launchers) {
    const [rank, size] = [Number(environment[names.rank]), Number(environment[names.size])];
    if (Number.isSafeInteger(rank) && Number.isSafeInteger(size) && 0 <= rank && rank < size)
      return { launcher, rank, size };
  }
  return { launcher: "nothing", rank: 0, size: 1 };
}

/** What to do where the launcher left each process one core of several, as Open MPI's does unless it is told otherwise. */
export function bindingAdvice(
  { launcher, rank, size }: Launch = launched(),
  [usable, all] = [availableParallelism(), cpus().length],
): string | undefined {
  if (size === 1 || rank > 0 || usable > 1 || all === 1) return undefined;
  const option = launcher === "srun" ? "--cpus-per-task" : "--bind-to none";
  return `${launcher} left each process one of ${all} cores; give it more with ${option}`;
}

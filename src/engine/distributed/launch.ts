import { availableParallelism, cpus } from "node:os";

/** The place of a process among those started together. */
interface Launch {
  /** The command that started them. */
  readonly launcher: string;
  readonly rank: number;
  readonly size: number;
}

/** Environment variables in which launchers pass rank and size; the first set ones count. */
const launchers = [
  { launcher: "mpirun", rank: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE" },
  { launcher: "srun", rank: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS" },
  { launcher: "an mpiexec that is not Open MPI's", rank: "PMI_RANK", size: "PMI_SIZE" },
] as const;

/** The place of this process among those started by `mpirun` or `srun`; otherwise it is the only one. */
export function launched(environment: Readonly<Record<string, string | undefined>> = process.env): Launch {
  for (const { launcher, ...names } of launchers) {
    const [rank, size] = [Number(environment[names.rank]), Number(environment[names.size])];
    if (Number.isSafeInteger(rank) && Number.isSafeInteger(size) && 0 <= rank && rank < size)
      return { launcher, rank, size };
  }
  return { launcher: "nothing", rank: 0, size: 1 };
}

/** Advice if the launcher bound each process to one core, as Open MPI does by default. */
export function bindingAdvice(
  { launcher, rank, size }: Launch = launched(),
  [usable, all] = [availableParallelism(), cpus().length],
): string | undefined {
  if (size === 1 || rank > 0 || usable > 1 || all === 1) return undefined;
  const option = launcher === "srun" ? "--cpus-per-task" : "--bind-to none";
  return `${launcher} bound each process to one of ${all} cores; give it more with ${option}`;
}

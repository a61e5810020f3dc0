import { afterEach, describe, expect, it, vi } from "vitest";
import { joinGroup } from "./open-mpi.ts";
import { bindingAdvice, launched } from "./launch.ts";

describe("the place of a process", () => {
  it.each([
    [
      { OMPI_COMM_WORLD_RANK: "3", OMPI_COMM_WORLD_SIZE: "4" },
      { launcher: "mpirun", rank: 3, size: 4 },
    ],
    [
      { SLURM_PROCID: "1", SLURM_STEP_NUM_TASKS: "2" },
      { launcher: "srun", rank: 1, size: 2 },
    ],
    // mpirun among processes of a Slurm job: each of Slurm's is one of several that mpirun starts.
    [
      { SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "2", OMPI_COMM_WORLD_RANK: "5", OMPI_COMM_WORLD_SIZE: "8" },
      { launcher: "mpirun", rank: 5, size: 8 },
    ],
    // A job's own script: nothing was started together yet.
    [
      { SLURM_PROCID: "0", SLURM_NTASKS: "16" },
      { launcher: "nothing", rank: 0, size: 1 },
    ],
    [
      { OMPI_COMM_WORLD_RANK: "", OMPI_COMM_WORLD_SIZE: "" },
      { launcher: "nothing", rank: 0, size: 1 },
    ],
    [{}, { launcher: "nothing", rank: 0, size: 1 }],
  ])("is read from what its launcher says: %j", (environment, place) => expect(launched(environment)).toEqual(place));
});

describe("advice on cores", () => {
  const first = { launcher: "mpirun", rank: 0, size: 2 };

  it("is for whom a launcher left one of several, and given once", () => {
    expect(bindingAdvice(first, [1, 8])).toBe(
      "mpirun bound each process to one of 8 cores; give it more with --bind-to none",
    );
    expect(bindingAdvice({ ...first, launcher: "srun" }, [1, 8])).toContain("--cpus-per-task");
    expect(bindingAdvice({ ...first, rank: 1 }, [1, 8])).toBeUndefined();
    expect(bindingAdvice(first, [4, 8])).toBeUndefined();
    expect(bindingAdvice(first, [1, 1])).toBeUndefined();
    expect(bindingAdvice({ launcher: "nothing", rank: 0, size: 1 }, [1, 8])).toBeUndefined();
  });
});

describe("joining", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.doUnmock("koffi");
  });
  const startedByTwo = () => {
    vi.stubEnv("OMPI_COMM_WORLD_RANK", "0");
    vi.stubEnv("OMPI_COMM_WORLD_SIZE", "2");
  };

  it("needs nothing where there is one process", async () => {
    vi.doMock("koffi", () => Promise.reject(new Error("Cannot find package 'koffi'")));
    expect(await joinGroup()).toMatchObject({ rank: 0, size: 1 });
  });

  it("says what to install where koffi is missing", async () => {
    startedByTwo();
    vi.doMock("koffi", () => Promise.reject(new Error("Cannot find package 'koffi'")));
    await expect(joinGroup()).rejects.toMatchObject({
      code: "CLIP_GROUP",
      message: expect.stringMatching(/^the package koffi is not installed; .* npm install koffi$/) as string,
    });
  });

  it("says what to install where Open MPI's library is missing, or another MPI's is there", async () => {
    startedByTwo();
    const symbol = () => {
      throw new Error("undefined symbol");
    };
    const load = vi.fn((): unknown => {
      throw new Error("cannot open shared object file");
    });
    vi.doMock("koffi", () => ({ default: { load } }));
    await expect(joinGroup()).rejects.toThrow(/^found none of libmpi.so.40, .*; .*apt-get install openmpi-bin/);
    load.mockImplementation(() => ({ symbol }));
    await expect(joinGroup()).rejects.toThrow(/^the installed MPI is not Open MPI \(it lacks ompi_mpi_comm_world\)/);
  });
});

import { writeSync } from "node:fs";
import { ClipError } from "../../core/errors.ts";
import { alone, type Group } from "./group.ts";
import { launched } from "./launch.ts";

/** Names of the library on Linux and macOS. */
const libraries = ["libmpi.so.40", "libmpi.so", "libmpi.dylib"];
/** MPI_THREAD_FUNNELED: one thread of the process makes all calls. */
const funneled = 1;
/** MPI_IN_PLACE: the input is in the buffer of the result. */
const inPlace = 1;
const standardError = 2;
/** A count is a C int. */
const maxCount = 2 ** 31 - 1;

const install =
  "training in several processes needs Open MPI: apt-get install openmpi-bin (brew install open-mpi), and npm install koffi";

/**
 * Joins the processes started together by `mpirun` or `srun`; one started alone is its own group. The calling thread must make all
 * calls to the group; they block it.
 *
 * @throws {ClipError} `CLIP_GROUP` if Open MPI or the package koffi is missing, or the processes cannot find each other.
 */
export async function joinGroup(): Promise<Group> {
  const { launcher, size } = launched();
  if (size === 1) return alone;
  const group = new OpenMpiGroup(await openLibrary());
  if (group.size === size) return group;
  throw new ClipError(
    "CLIP_GROUP",
    `${launcher} started ${size} processes, but Open MPI found ${group.size}; start them with Open MPI's mpirun, ` +
      "or with srun --mpi=pmix",
  );
}

type Library = Awaited<ReturnType<typeof openLibrary>>;

async function openLibrary() {
  const { default: koffi } = await import("koffi").catch((cause: unknown) => {
    throw new ClipError("CLIP_GROUP", `the package koffi is not installed; ${install}`, { cause });
  });
  // Global, because Open MPI's plugins look up its symbols in the whole process.
  const load = ([name, ...others] = libraries): ReturnType<typeof koffi.load> => {
    try {
      return koffi.load(name!, { global: true });
    } catch (cause) {
      if (others.length > 0) return load(others);
      throw new ClipError("CLIP_GROUP", `found none of ${libraries.join(", ")}; ${install}`, { cause });
    }
  };
  const library = load();
  // Open MPI's handles are addresses of its variables; other MPIs use numbers.
  const handle = (name: string): unknown => {
    try {
      return library.symbol(name, "void *");
    } catch (cause) {
      throw new ClipError("CLIP_GROUP", `the installed MPI is not Open MPI (it lacks ${name}); ${install}`, { cause });
    }
  };
  const define = (signature: string) => library.func(signature) as (...args: readonly unknown[]) => number;
  const gather = "const void *from, int count, void *type, void *to, int toCount, void *toType, void *comm";
  return {
    world: handle("ompi_mpi_comm_world"),
    bytes: handle("ompi_mpi_byte"),
    floats: handle("ompi_mpi_float"),
    sum: handle("ompi_mpi_op_sum"),
    init: define("int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)"),
    rank: define("int MPI_Comm_rank(void *comm, _Out_ int *rank)"),
    size: define("int MPI_Comm_size(void *comm, _Out_ int *size)"),
    allGather: define(`int MPI_Allgather(${gather})`),
    allReduce: define("int MPI_Allreduce(intptr_t from, void *to, int count, void *type, void *op, void *comm)"),
    broadcast: define("int MPI_Bcast(void *values, int count, void *type, int root, void *comm)"),
    abort: define("int MPI_Abort(void *comm, int code)"),
    finalize: define("int MPI_Finalize()"),
  };
}

/** A group over Open MPI. An error in one process ends all: MPI's default, and no process could continue alone. */
class OpenMpiGroup implements Group {
  readonly rank: number;
  readonly size: number;
  readonly #mpi: Library;
  #seconds = 0;

  constructor(mpi: Library) {
    this.#mpi = mpi;
    const resultOf = (call: (result: Int32Array) => number) => {
      const result = new Int32Array(1);
      call(result);
      return result[0]!;
    };
    const provided = resultOf((result) => mpi.init(null, null, funneled, result));
    if (provided < funneled)
      throw new ClipError("CLIP_GROUP", "this Open MPI was built without thread support; install one with it");
    this.rank = resultOf((result) => mpi.rank(mpi.world, result));
    this.size = resultOf((result) => mpi.size(mpi.world, result));
  }

  get seconds(): number {
    return this.#seconds;
  }

  allGather<Values extends Float32Array | Int32Array>(values: Values): Values {
    const kind = values.constructor as new (length: number) => Values;
    return this.#gather(values, new kind(this.size * values.length));
  }

  allReduce(values: Float32Array): void {
    const { allReduce, floats, sum, world } = this.#mpi;
    this.#timed(values.length, () => allReduce(inPlace, values, values.length, floats, sum, world));
  }

  broadcast(values: Float32Array): void {
    const { broadcast, floats, world } = this.#mpi;
    this.#timed(values.length, () => broadcast(values, values.length, floats, 0, world));
  }

  exchange(text: string): string[] {
    const bytes = new TextEncoder().encode(text);
    const lengths = this.allGather(Int32Array.of(bytes.length));
    const longest = Math.max(...lengths);
    const own = new Uint8Array(longest);
    own.set(bytes);
    const all = this.#gather(own, new Uint8Array(this.size * longest));
    return Array.from(lengths, (length, rank) =>
      new TextDecoder().decode(all.subarray(rank * longest, rank * longest + length)),
    );
  }

  abort(message: string): void {
    // Synchronously: the next call ends this process, and a thread's stream would lose the message.
    writeSync(standardError, `${message}\n`);
    this.#mpi.abort(this.#mpi.world, 1);
  }

  leave(): void {
    this.#mpi.finalize();
  }

  #gather<All extends ArrayBufferView>(values: ArrayBufferView, all: All): All {
    const { allGather, bytes, world } = this.#mpi;
    const count = values.byteLength;
    this.#timed(count, () => allGather(values, count, bytes, all, count, bytes, world));
    return all;
  }

  #timed(count: number, call: () => number): void {
    if (count > maxCount)
      throw new ClipError("CLIP_GROUP", `${count} numbers do not fit into one message; lower batchSize`);
    const start = performance.now();
    call();
    this.#seconds += (performance.now() - start) / 1000;
  }
}

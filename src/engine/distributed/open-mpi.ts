import { writeSync } from "node:fs";
import { ClipError } from "../../core/errors.ts";
import { alone, type Group } from "./group.ts";
import { launched } from "./launch.ts";

/** What the library is called on Linux and on macOS. */
const libraries = ["libmpi.so.40", "libmpi.so", "libmpi.dylib"];
/** The process has several threads, and one of them makes all calls. */
const funneled = 1;
/** In place of what is sent: it stands where the result goes to. */
const inPlace = 1;
const standardError = 2;
/** A count is a C int; in numbers of 4 bytes. */
const maxCount = 2 ** 31 - 1;

const install =
  "several processes work together by Open MPI: apt-get install openmpi-bin (brew install open-mpi), and npm install koffi";

/**
 * The processes that this one was started with, by `mpirun` or `srun`; if it was started alone, only itself. The thread that calls this makes all
 * calls to the group, and is blocked by them.
 *
 * @throws {ClipError} `CLIP_GROUP` if Open MPI or the package koffi is missing, or the processes cannot see each other.
 */
export async function joinGroup(): Promise<Group> {
  const { launcher, size } = launched();
  if (size === 1) return alone;
  const group = new OpenMpiGroup(await openLibrary());
  if (group.size === size) return group;
  throw new ClipError(
    "CLIP_GROUP",
    `${launcher} started ${size} processes, and Open MPI knows of ${group.size}; start them with Open MPI's mpirun, ` +
      "or with srun --mpi=pmix",
  );
}

type Library = Awaited<ReturnType<typeof openLibrary>>;

async function openLibrary() {
  const { default: koffi } = await import("koffi").catch((cause: unknown) => {
    throw new ClipError("CLIP_GROUP", `the package koffi is not installed; ${install}`, { cause });
  });
  // Open MPI's plugins look for its names in the whole process.
  const load = () => {
    for (const name of libraries) {
      try {
        return koffi.load(name, { global: true });
      } catch (cause) {
        if (name === libraries.at(-1))
          throw new ClipError("CLIP_GROUP", `there is no ${libraries.join(", ")} here; ${install}`, { cause });
      }
    }
    throw new Error("unreachable");
  };
  const library = load();
  // Open MPI's handles are the addresses of its own variables; other MPIs have numbers.
  const handle = (name: string): unknown => {
    try {
      return library.symbol(name, "void *");
    } catch (cause) {
      throw new ClipError("CLIP_GROUP", `the MPI here is not Open MPI (no ${name} in it); ${install}`, { cause });
    }
  };
  const define = (signature: string) => library.func(signature) as (...args: readonly unknown[]) => number;
  return {
    world: handle("ompi_mpi_comm_world"),
    bytes: handle("ompi_mpi_byte"),
    floats: handle("ompi_mpi_float"),
    sum: handle("ompi_mpi_op_sum"),
    init: define("int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)"),
    rank: define("int MPI_Comm_rank(void *comm, _Out_ int *rank)"),
    size: define("int MPI_Comm_size(void *comm, _Out_ int *size)"),
    allGather: define(
      "int MPI_Allgather(const void *from, int count, void *type, void *to, int toCount, void *toType, void *comm)",
    ),
    allReduce: define("int MPI_Allreduce(intptr_t from, void *to, int count, void *type, void *op, void *comm)"),
    broadcast: define("int MPI_Bcast(void *values, int count, void *type, int root, void *comm)"),
    abort: define("int MPI_Abort(void *comm, int code)"),
    finalize: define("int MPI_Finalize()"),
  };
}

/** Processes that talk by Open MPI. An error in one ends all of them: that is its default, and there is nothing to go on with. */
class OpenMpiGroup implements Group {
  readonly rank: number;
  readonly size: number;
  readonly #mpi: Library;
  #seconds = 0;

  constructor(mpi: Library) {
    this.#mpi = mpi;
    const given = (call: (result: Int32Array) => number) => {
      const result = new Int32Array(1);
      call(result);
      return result[0]!;
    };
    const provided = given((result) => mpi.init(null, null, funneled, result));
    if (provided < funneled)
      throw new ClipError("CLIP_GROUP", "this Open MPI was built for processes of one thread; install another one");
    this.rank = given((result) => mpi.rank(mpi.world, result));
    this.size = given((result) => mpi.size(mpi.world, result));
  }

  get seconds(): number {
    return this.#seconds;
  }

  allGather<Values extends Float32Array | Int32Array>(values: Values): Values {
    const kind = values.constructor as new (length: number) => Values;
    const all = new kind(this.size * values.length);
    this.#gather(values, all);
    return all;
  }

  allReduce(values: Float32Array): void {
    const { allReduce, floats, sum, world } = this.#mpi;
    checkCount(values.length);
    this.#timed(() => allReduce(inPlace, values, values.length, floats, sum, world));
  }

  broadcast(values: Float32Array): void {
    const { broadcast, floats, world } = this.#mpi;
    checkCount(values.length);
    this.#timed(() => broadcast(values, values.length, floats, 0, world));
  }

  exchange(text: string): string[] {
    const bytes = new TextEncoder().encode(text);
    const lengths = this.allGather(Int32Array.of(bytes.length));
    const longest = Math.max(...lengths);
    const own = new Uint8Array(longest);
    own.set(bytes);
    const all = new Uint8Array(this.size * longest);
    this.#gather(own, all);
    return Array.from(lengths, (length, rank) =>
      new TextDecoder().decode(all.subarray(rank * longest, rank * longest + length)),
    );
  }

  abort(message: string): void {
    // Nothing of this process runs behind the next call, and what is written to a thread's stream would be lost.
    writeSync(standardError, `${message}\n`);
    this.#mpi.abort(this.#mpi.world, 1);
  }

  leave(): void {
    this.#mpi.finalize();
  }

  #gather(values: ArrayBufferView, all: ArrayBufferView): void {
    const { allGather, bytes, world } = this.#mpi;
    const count = values.byteLength;
    checkCount(count);
    this.#timed(() => allGather(values, count, bytes, all, count, bytes, world));
  }

  #timed(call: () => number): void {
    const start = performance.now();
    call();
    this.#seconds += (performance.now() - start) / 1000;
  }
}

function checkCount(count: number): void {
  if (count <= maxCount) return;
  throw new ClipError("CLIP_GROUP", `${count} numbers do not fit into one message; take smaller batches`);
}

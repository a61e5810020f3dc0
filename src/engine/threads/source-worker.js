// Starts a worker from its TypeScript source: the loader that this process runs under is not handed on to threads by Node 20.
// Only for work on this package; it is not built.
import { register } from "tsx/esm/api";

register();
await import(process.argv[2]);

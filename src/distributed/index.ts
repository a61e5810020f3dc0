/** Several processes that compute as one. */
export { alone, expectSame, type Group, noPeers, type Peers } from "./group.ts";
export { launched } from "./launch.ts";
export { joinGroup } from "./open-mpi.ts";

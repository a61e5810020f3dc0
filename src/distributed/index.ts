/** Several processes that compute as one. */
export { alone, expectSame, type Group, noPeers, type Peers, smallLength, sumOver } from "./group.ts";
export { bindingAdvice, launched } from "./launch.ts";
export { joinGroup } from "./open-mpi.ts";

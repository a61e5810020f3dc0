/** What is computed here against what was recorded elsewhere. */
export { packageFixtures, parity, type ParityRow } from "./parity.ts";
export { type Machine, thisMachine } from "./machine.ts";

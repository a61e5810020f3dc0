// The command line from its sources, as one of several processes.
import { main } from "../../src/interfaces/cli/main.ts";

await main();

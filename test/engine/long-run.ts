// A process with a run of a few seconds, for the tests that send it signals: how it ends is its argument.
import { Session } from "../../src/engine/runtime/session.ts";
import { chain, chainFeeds, chainFor } from "./chain.ts";

const endings: Record<string, () => Promise<unknown>> = {
  /** Runs and waits; nobody looks after signals. */
  async run() {
    const session = await Session.compile(await chainFor(6000));
    const running = session.run(chainFeeds);
    console.log("running");
    return running;
  },
  /** Looks after SIGINT by leaving, in the middle of a run with another one waiting. */
  async leave() {
    const session = await Session.compile(await chainFor(1500));
    process.on("SIGINT", () => {
      console.log("caught");
      process.exit(3);
    });
    const running = Promise.all([session.run(chainFeeds), session.run(chainFeeds)]);
    console.log("running");
    await running;
    console.log("not left");
  },
  /** Ends by itself after release. */
  async release() {
    await using session = await Session.compile(chain(2));
    await session.run(chainFeeds);
  },
  /** Ends by itself though nothing was released. */
  async forget() {
    const session = await Session.compile(chain(2));
    await session.run(chainFeeds);
  },
  /** Fails while a session is held. */
  async fail() {
    await using session = await Session.compile(chain(2));
    await session.run({});
  },
};

await endings[process.argv[2]!]!();
console.log("done");

import { expect, it } from "vitest";
import { Remote } from "./remote.ts";

it("a thread that cannot start fails all calls, also later ones", async () => {
  const thread = new Remote("runtime/no-such-worker");
  const failure = { code: "CLIP_RUNTIME", message: /no-such-worker/ };
  await expect(thread.call("run", [])).rejects.toMatchObject(failure);
  await expect(thread.call("run", [])).rejects.toMatchObject(failure);
});

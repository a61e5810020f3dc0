import type { MessageWork } from "./listen.ts";

export type { MessageWork };

/** {@link import("./listen.ts").listen} in a web worker. */
export function listen(work: MessageWork): void {
  let queue = Promise.resolve();
  const post = (answer: unknown, moved: readonly ArrayBuffer[]) => self.postMessage(answer, { transfer: [...moved] });
  self.addEventListener("message", ({ data }: MessageEvent) => {
    queue = queue.then(() => work(data, post));
  });
}

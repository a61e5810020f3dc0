import { createContext, Script } from "node:vm";

const context: { work?: () => void } = {};
const script = new Script("work()");
let isReady = false;

/**
 * Runs `work` and interrupts it after the limit, even inside a regular expression.
 *
 * @throws {Error} with the code `ERR_SCRIPT_EXECUTION_TIMEOUT` after the limit; errors of `work`.
 */
export function withTimeLimit<Result>(limitMs: number, work: () => Result): Result {
  if (!isReady) createContext(context);
  isReady = true;
  let result: { readonly value: Result } | undefined;
  context.work = () => void (result = { value: work() });
  script.runInContext(context, { timeout: limitMs });
  return result!.value;
}

import { createContext, Script } from "node:vm";

const context: { work?: () => void } = {};
const script = new Script("work()");
let isReady = false;

/**
 * What `work` returns, unless it takes longer: then it is ended where it is, even inside a regular expression.
 *
 * @throws {Error} with the code `ERR_SCRIPT_EXECUTION_TIMEOUT`; and whatever `work` throws.
 */
export function withTimeLimit<Result>(limitMs: number, work: () => Result): Result {
  if (!isReady) createContext(context);
  isReady = true;
  let result: { readonly value: Result } | undefined;
  context.work = () => void (result = { value: work() });
  script.runInContext(context, { timeout: limitMs });
  return result!.value;
}

/**
 * Holds calls to the schema of the program that is to apply them, before they are entries: what a schema forbids comes
 * into no log, so that no replay asks again. A repetition of what the room remembers gets that outcome,
 * whatever the schema says by now.
 */
import { ArqonError } from "@arqon/proto";
import { judge } from "../../../wasm/reducer/schema/judge.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LoadedRoom, ReducedPlace } from "./loaded_room.ts";
import type { ArrivedCall } from "./next_entries.ts";
import type { ProgramChoice } from "./switching.ts";

interface Forbidden {
  readonly call: ArrivedCall;
  readonly refusal: ArqonError;
}

/** Calls of which each is passed, or forbidden and not answered yet. */
function judgeAll(
  waiting: readonly ArrivedCall[],
  { id, schema }: RunnableProgram,
): { readonly calls: readonly ArrivedCall[]; readonly forbidden: readonly Forbidden[] } {
  const forbidden: Forbidden[] = [];
  const calls = waiting.map((call) => {
    if (schema === undefined || call.judged === id) return call;
    const judged = judge(schema, call.command, call.data);
    if ("data" in judged) return { ...call, data: judged.data, judged: id };
    const { code, reason } = judged;
    const passed = { ...call, judged: id };
    forbidden.push({ call: passed, refusal: new ArqonError("call-rejected", reason, { code }) });
    return passed;
  });
  return { calls, forbidden };
}

/**
 * Answers those calls that the program's schema forbids, and takes them from those that wait. Gives the others, each as
 * the program gets it; who came meanwhile is behind them, and has its turn next. Rejects as the thread does.
 */
export async function judgeCalls(
  waiting: ArrivedCall[],
  loaded: LoadedRoom,
  at: ReducedPlace,
  program: RunnableProgram,
  { parts: { host, metrics }, owns }: Pick<ProgramChoice, "parts" | "owns">,
): Promise<readonly ArrivedCall[]> {
  const { calls, forbidden } = judgeAll(waiting, program);
  if (forbidden.length === 0) {
    waiting.splice(0, calls.length, ...calls);
    return calls;
  }
  const commands = forbidden.map(({ call: { user_id, id } }) => [user_id, id] as const);
  const remembered = await host.remembers(loaded.handle, commands);
  const gone = new Set<ArrivedCall>();
  for (const [index, { call, refusal }] of forbidden.entries()) {
    if (call.id !== "" && remembered[index]) continue;
    gone.add(call);
    // Who does not own the room does not know what it remembers by now.
    if (owns(at)) metrics.forbidden.inc();
    call.answer(owns(at) ? refusal : new ArqonError("brain-unavailable"));
  }
  const passed = calls.filter((call) => !gone.has(call));
  waiting.splice(0, calls.length, ...passed);
  return passed;
}

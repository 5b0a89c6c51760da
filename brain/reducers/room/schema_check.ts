/**
 * Checks calls against the schema of the program that would apply them, before they become entries: a forbidden call is
 * in no log, so no replay checks it again. A repetition of a remembered call gets the recorded outcome, whatever the
 * schema says now.
 */
import { ArqonError } from "@arqon/proto";
import { judge } from "../../../wasm/reducer/schema/judge.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LoadedRoom } from "./loaded_room.ts";
import type { ArrivedCall } from "./next_entries.ts";
import type { ProgramChoice } from "./program_switch.ts";

interface Forbidden {
  readonly call: ArrivedCall;
  readonly refusal: ArqonError;
}

/** Checks each call against the schema; `calls` has all of them, `forbidden` the refused ones, not answered yet. */
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
 * Answers calls that the program's schema forbids and removes them from the queue. Returns the others as the program
 * gets them; later calls stay behind them. Rejects as the thread does.
 */
export async function judgeCalls(
  waiting: ArrivedCall[],
  { at, parts: { host, metrics }, handle }: LoadedRoom,
  program: RunnableProgram,
  { owns }: Pick<ProgramChoice, "owns">,
): Promise<readonly ArrivedCall[]> {
  const { calls, forbidden } = judgeAll(waiting, program);
  if (forbidden.length === 0) {
    waiting.splice(0, calls.length, ...calls);
    return calls;
  }
  const commands = forbidden.map(({ call: { user_id, id } }) => [user_id, id] as const);
  const remembered = await host.remembers(handle, commands);
  const gone = new Set<ArrivedCall>();
  for (const [index, { call, refusal }] of forbidden.entries()) {
    if (call.id !== "" && remembered[index]) continue;
    gone.add(call);
    // A Brain that no longer owns the room does not know what it remembers.
    if (owns(at)) metrics.forbidden.inc();
    call.answer(owns(at) ? refusal : new ArqonError("brain-unavailable"));
  }
  const passed = calls.filter((call) => !gone.has(call));
  waiting.splice(0, calls.length, ...passed);
  return passed;
}

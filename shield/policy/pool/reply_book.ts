/**
 * What follows from the reply of a chain, wherever it ran: its policies' outcomes are learnt and counted,
 * and become the verdict. Nothing here waits.
 */
import type { PolicyOutcome, Verdict } from "../../message/verdict.ts";
import type { ChainEntry, WorkerReply } from "../ring/ring_message.ts";
import type { Asking } from "../../../shared/rates/breaker.ts";
import type { ChainGate } from "./chain_gate.ts";
import type { PolicyMetrics } from "./policy_metrics.ts";
import { namedLogs, verdictOf } from "./pool_verdict.ts";

/** Reads replies. */
export interface ReplyBook {
  /**
   * The verdict of a chain that has run; `skipped` are the outcomes of policies that could not. A reply
   * without outcomes is learnt like any other, and its verdict is not to be used.
   */
  verdict(
    asking: Asking,
    chain: readonly ChainEntry[],
    reply: WorkerReply,
    skipped: readonly PolicyOutcome[],
    now_ms: number,
  ): Verdict;
}

/** What the book needs of its pool. */
export interface ReplyBookOptions {
  readonly gate: Pick<ChainGate, "learn">;
  readonly metrics: Pick<PolicyMetrics, "chain">;
  readonly chain_fuel_limit: number;
}

/** Makes the book. */
export function createReplyBook(options: ReplyBookOptions): ReplyBook {
  const { gate, metrics, chain_fuel_limit } = options;
  return {
    verdict(asking, chain, reply, skipped, now_ms) {
      const outcomes = gate.learn(asking, chain, reply, now_ms);
      let enforced = 0;
      let observed = 0;
      for (const { mode, fuel, instance_fuel } of outcomes) {
        if (mode === "enforce") enforced += fuel + instance_fuel;
        else observed += fuel + instance_fuel;
      }
      const most = Math.max(enforced, observed);
      if (outcomes.length > 0) metrics.chain(most / chain_fuel_limit);
      for (const one of skipped) outcomes.push(one);
      const { added_headers, payload } = reply;
      return verdictOf(outcomes, { added_headers, payload, logs: namedLogs(chain, reply.logs) });
    },
  };
}

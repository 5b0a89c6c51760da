/**
 * A program whose garbage is measured: many messages through the policy pool, or many answers after flushes to NATS,
 * with a few always in flight. Its argument is a plan as JSON; prints `measured` when everything is warm.
 * `garbage_test.ts` starts it with V8's trace.
 */
import type { Spine } from "../shared/spine/contract/spine.ts";
import { openSpine } from "../shared/spine/open.ts";
import { roomSubject } from "../shared/subjects/subject.ts";
import { configFrom } from "../shared/config/load.ts";
import { FlushQueue } from "../shield/connection/flush_queue.ts";
import { message, policy, startTestPool } from "../shield/policy/testing/pool.ts";
import { keptLog } from "../shield/testing/spine.ts";

/** The plan. */
export interface GarbagePlan {
  /** A NATS server: flushes; absent: policies. */
  readonly nats_url?: string;
  readonly messages: number;
  readonly under_way: number;
}

/** Runs `once` this often, `under_way` at a time: one begins when one ends, so it is never idle. */
async function often(once: () => Promise<unknown>, messages: number, under_way: number) {
  let begun = 0;
  await Promise.all(Array.from({ length: under_way }, async () => {
    while (begun++ < messages) await once();
  }));
}

async function run({ nats_url, messages, under_way }: GarbagePlan): Promise<void> {
  await using owned = new AsyncDisposableStack();
  const once = nats_url === undefined ? await policies(owned) : await flushes(owned, nats_url);
  await often(once, messages / 10, under_way);
  console.log("measured");
  await often(once, messages, under_way);
}

async function policies(owned: AsyncDisposableStack): Promise<() => Promise<unknown>> {
  const { pool, load } = owned.use(await startTestPool());
  await load("calm", { body: "i32.const 0" });
  const chain = [policy("calm")];
  return () => pool.evaluate(message(chain, { payload: new Uint8Array(200) }));
}

async function flushes(
  owned: AsyncDisposableStack,
  url: string,
): Promise<() => Promise<unknown>> {
  const config = configFrom({ nats: { urls: [url] } });
  const spine: Spine = await openSpine(config, { log: keptLog().log, now: Date.now });
  owned.defer(() => spine.drain());
  const queue = new FlushQueue(spine);
  const subject = roomSubject("in", "acme", "lobby");
  const payload = new Uint8Array(200);
  return () => {
    spine.publish(subject, payload);
    // Retained until the answer: the message and its sender.
    const held = { bytes: payload.slice() };
    return new Promise<number>((resolve) => queue.push(() => resolve(held.bytes.length)));
  };
}

if (import.meta.main) {
  await run(JSON.parse(Deno.args[0] ?? ""));
  Deno.exit(0);
}

/**
 * Stores a stream's messages in its room: each is an event of the type `append`, with the checks of every message.
 * Nothing is stored before the whole request is admitted.
 */
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { slice } from "../../shared/turns/slices.ts";
import { requireToken } from "../auth/revocations.ts";
import { admit, publishAdmitted } from "../message/pipeline.ts";
import { inRequestTrace } from "../http/route.ts";
import type { Caller, HeaderPair } from "../message/caller.ts";
import { NONE_ADDED } from "../message/stamp.ts";
import { bump } from "../stats/stats.ts";
import type { StreamContext } from "./context.ts";
import { MESSAGES_A_PIECE } from "./read.ts";
import { StreamRefusal } from "./answers.ts";

const APPEND_TYPE = "append";

/** Most bytes of an envelope beside its data. */
const ENVELOPE_BYTES = 1_024;

type Sends = Pick<
  StreamContext,
  "path" | "limits" | "rates" | "stats" | "tenants" | "now" | "requireNotRevoked"
>;

/** Admitted messages; `send` stores them. */
export interface Admitted {
  readonly caller: Caller;
  readonly envelopes: readonly ScannedEnvelope[];
  readonly added: readonly (readonly HeaderPair[])[];
}

interface SendOptions {
  readonly leaveOut?: ReadonlySet<number>;
  readonly is_whole?: boolean;
}

/** The shared parts of the messages of one request. */
export interface Sending {
  readonly caller: Caller;
  readonly room_id: string;
  readonly content_type: string;
  /** The message id of each, by its index; "" for none. */
  readonly idOf: (index: number) => string;
}

/** Checks rates, grants, bans, schemas and policies for all messages; rejects with the first refusal. */
export async function admitAll(
  context: Sends,
  { caller, room_id, content_type, idOf }: Sending,
  messages: readonly Uint8Array[],
): Promise<Admitted> {
  const { limits, path, rates, stats, tenants } = context;
  const { identity } = caller;
  const tenant = tenants.of(identity.tenant_id);
  const envelopes: ScannedEnvelope[] = [];
  for (const [index, data] of messages.entries()) {
    if (index > 0 && index % MESSAGES_A_PIECE === 0) await slice(identity.tenant_id);
    if (data.length > limits.max_frame_bytes) {
      throw new StreamRefusal("stream-too-large", `a message over ${limits.max_frame_bytes} bytes`);
    }
    bump(stats.ingress_ops, "http_publish");
    tenant.ingress_messages++;
    rates.take(identity, data.length);
    const event = { type: APPEND_TYPE, content_type, data };
    const bytes = writeEnvelope({ room_id, message_id: idOf(index), event });
    envelopes.push(inRequestTrace(path, scanEnvelope(bytes, limits), caller));
  }
  const added: (readonly HeaderPair[])[] = [];
  for (const envelope of envelopes) {
    await slice(identity.tenant_id);
    // It may have ended while policies judged those before.
    requireToken(context, identity);
    added.push(await admit(path, caller, envelope) ?? NONE_ADDED);
  }
  return { caller, envelopes, added };
}

/**
 * Stores the admitted messages, in order; resolves with the offset of the last one once `isShown` resolves. If that is
 * refused, none stays, as the answer says; with `is_whole` none stays unless all are stored. `leaveOut` has the indices
 * of messages that are stored already.
 */
export async function send(
  { path, logs }: Pick<StreamContext, "path" | "logs">,
  { caller, envelopes, added }: Admitted,
  isShown: (offset: number) => Promise<void>,
  { leaveOut = new Set(), is_whole = false }: SendOptions = {},
): Promise<number> {
  // No other message comes between the messages of one request.
  await slice(caller.identity.tenant_id);
  const stored = envelopes.flatMap((envelope, index) =>
    leaveOut.has(index)
      ? []
      : [storedOf(() =>
        publishAdmitted(path, caller, undefined, envelope, added[index]!, path.now())
      )]
  );
  // All are awaited, so that no rejection stays unhandled.
  const outcomes = await Promise.allSettled(stored);
  const offsets = outcomes.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  const failed = outcomes.find((one) => one.status === "rejected");
  const last = Math.max(0, ...offsets);
  try {
    if (failed !== undefined) throw failed.reason;
    await isShown(last);
  } catch (error) {
    // After other errors the messages may be shown, and the publisher repeats its request.
    const is_refused = error instanceof StreamRefusal || (is_whole && failed !== undefined);
    if (is_refused && offsets.length > 0) {
      await (await logs.of(caller.identity.tenant_id)).erase(envelopes[0]!.room_id, offsets);
    }
    throw error;
  }
  return last;
}

async function storedOf(
  publish: () => ReturnType<typeof publishAdmitted>,
): Promise<number> {
  const stored = await publish();
  // The class has changed meanwhile: nothing was stored.
  if (stored === undefined) throw new ArqonError("not-durable");
  return stored.offset;
}

/** The largest body that is read, in bytes. */
export function bodyBytesMax({ max_frame_bytes }: StreamContext["limits"]): number {
  return max_frame_bytes - ENVELOPE_BYTES;
}

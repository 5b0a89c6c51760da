/**
 * Counts what goes over the Spine during a round: what is published, by kind, as a subscription to all
 * subjects hears it, and what the NATS server delivers to everybody else. Such a round is not timed, since
 * listening uses a part of the machine.
 */
import { connectGuarded } from "../../shared/spine/nats/connection/nats_transport.ts";
import type { Brains } from "../measure/brains.ts";

/** A number of messages, and the bytes of their subjects and payloads. */
export interface Amount {
  messages: number;
  bytes: number;
}

/** The traffic of one round. */
export interface Traffic {
  /** What was published, by kind. */
  readonly published: Readonly<Record<TrafficKind, Amount>>;
  /** What the NATS server sent to Brains and Shields, with headers and without subjects. */
  readonly delivered: Amount;
}

/** The kind of a message. */
export type TrafficKind = (typeof KINDS)[number][0] | "other";

const KINDS = [
  ["announcements", /^sys\.presence\.announce\./],
  ["room updates", /^sys\.presence\.room\./],
  ["pulls, snapshots", /^sys\.presence\.to\./],
  ["beats", /^sys\.cluster\./],
  // Documents are written, acknowledged and announced.
  ["room documents", /^(\$KV|\$JS|_INBOX)\.|^sys\.t\.[^.]+\.rooms$/],
] as const;
const TAP = "bench tap";

const kindOf = (subject: string): TrafficKind =>
  KINDS.find(([, pattern]) => pattern.test(subject))?.[0] ?? "other";

function emptyAmounts(): Record<TrafficKind, Amount> {
  const kinds = [...KINDS.map(([kind]) => kind), "other" as const];
  return Object.fromEntries(kinds.map((kind) => [kind, { messages: 0, bytes: 0 }])) as Record<
    TrafficKind,
    Amount
  >;
}

interface ServerConnection {
  readonly name?: string;
  readonly out_msgs: number;
  readonly out_bytes: number;
}

async function delivered(monitor_url: string): Promise<Amount> {
  const answer = await fetch(`${monitor_url}/connz?limit=1024`);
  const { connections } = await answer.json() as { connections: ServerConnection[] };
  const others = connections.filter(({ name }) => name !== TAP);
  return {
    messages: others.reduce((sum, { out_msgs }) => sum + out_msgs, 0),
    bytes: others.reduce((sum, { out_bytes }) => sum + out_bytes, 0),
  };
}

/** Counts everything on the Spine, from before `during` until all that it has published is heard. */
export async function measureTraffic(
  { nats, monitor_url }: Pick<Brains, "nats" | "monitor_url">,
  during: () => Promise<void>,
): Promise<Traffic> {
  const tap = await connectGuarded({ servers: [`127.0.0.1:${nats.port}`], name: TAP });
  try {
    const published = emptyAmounts();
    tap.subscribe(">", {
      callback: (_error, { subject, data }) => {
        const amount = published[kindOf(subject)];
        amount.messages++;
        amount.bytes += subject.length + data.length;
      },
    });
    await tap.flush();
    const before = await delivered(monitor_url);
    await during();
    await tap.flush();
    const after = await delivered(monitor_url);
    return {
      published,
      delivered: {
        messages: after.messages - before.messages,
        bytes: after.bytes - before.bytes,
      },
    };
  } finally {
    await tap.close();
  }
}

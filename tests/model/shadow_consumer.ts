/** A shadow consumer after docs/governance.md: it subscribes on NATS, and keeps the copies that it gets. */
import type { NatsConnection } from "@nats-io/transport-deno";
import { readEnvelope } from "@arqon/proto";

const SHADOW = "x-arqon-shadow";

/** The copies so far. */
export interface ShadowConsumer {
  /** JSON of the data of each copy of the room, in order; a copy that is not marked as one is labelled. */
  shadowsOf(tenant: string, room: string): readonly string[];
}

/** Receives all shadow subjects from now on. */
export async function startShadowConsumer(connection: NatsConnection): Promise<ShadowConsumer> {
  const received = new Map<string, string[]>();
  connection.subscribe("shadow.in.>", {
    callback(error, { subject, data, headers }) {
      if (error !== null) return;
      const { event, headers: marked } = readEnvelope(data);
      const is_marked = headers?.get(SHADOW) === "true" && marked?.[SHADOW] === "true";
      const text = new TextDecoder().decode(event?.data);
      const form = event?.content_type.startsWith("text/") ? JSON.stringify(text) : text;
      received.set(subject, [
        ...received.get(subject) ?? [],
        is_marked ? form : `unmarked ${form}`,
      ]);
    },
  });
  await connection.flush();
  return {
    shadowsOf: (tenant, room) => received.get(`shadow.in.t.${tenant}.r.${room}`) ?? [],
  };
}

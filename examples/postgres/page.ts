/**
 * A page of orders that loads from PostgreSQL and then follows a room, without a hole: it reads `select
 * arqon.position()` in the transaction of its queries, then calls `subscribeSince`. Any client of PostgreSQL works.
 */
import type { Room } from "@arqon/sdk";
import { subscribeSince } from "@arqon/sdk/postgres";

/** One connection to the database. */
interface Session {
  query(text: string): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
}

/** The fields of the table and of the messages. */
export interface Order {
  readonly id: number;
  readonly total: number;
}

/** Yields all present orders, then new ones; "again" when the page must be loaded again. */
export async function* ordersOf(session: Session, room: Room): AsyncGenerator<Order | "again"> {
  await session.query("begin isolation level repeatable read");
  const { rows: [taken] } = await session.query("select arqon.position() as position");
  const { rows } = await session.query("select id, total from orders order by id");
  await session.query("commit");
  for (const { id, total } of rows) yield { id: Number(id), total: Number(total) };
  for await (const message of subscribeSince(room, String(taken!["position"]))) {
    if (message.signal?.kind === "GAP") yield "again";
    else yield message.json() as unknown as Order;
  }
}

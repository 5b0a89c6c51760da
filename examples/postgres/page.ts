/**
 * A page of orders that loads from PostgreSQL and then goes on with a room, without a hole: `select
 * arqon.position()` in the transaction of its queries, then `subscribeSince`. Any client of PostgreSQL will do.
 */
import type { Room } from "@arqon/sdk";
import { subscribeSince } from "@arqon/sdk/postgres";

/** One connection to the database. */
interface Session {
  query(text: string): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
}

/** What the table and the messages have. */
export interface Order {
  readonly id: number;
  readonly total: number;
}

/** All orders that there are, then those that are made; "again" when the page has to be loaded anew. */
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

/**
 * The time of the bus: `--since 5m` means its last five minutes, whatever the clock of the operator's machine shows.
 */
import type { Io } from "../terminal/io.ts";
import { type Admin, dateOf } from "./admin.ts";

/** When a server answered, by both clocks. */
export interface TimeAnswer {
  /** Time of the answer's Date header, which has whole seconds. */
  readonly date_ms: number;
  readonly sent_ms: number;
  readonly received_ms: number;
  readonly server: string;
}

/** How far our clock is behind the server's in ms; 0 when the answer does not rule out that ours is right. */
export function clockOffset_ms(
  { date_ms, sent_ms, received_ms }: Pick<TimeAnswer, "date_ms" | "sent_ms" | "received_ms">,
): number {
  const least = date_ms - received_ms;
  const most = date_ms + 1_000 - sent_ms;
  if (least > 0) return least;
  return most < 0 ? most : 0;
}

/** Unix ms by the clock of the Shield that answers; of ours where it does not say. Rejects as `askAdmin`. */
export async function busNow(io: Io, admin: Admin): Promise<number> {
  const sent_ms = io.now();
  const date_ms = await dateOf(io, admin);
  const received_ms = io.now();
  if (date_ms === undefined) return received_ms;
  return received_ms + clockOffset_ms({ date_ms, sent_ms, received_ms });
}

/** When so many seconds ago was, as `busNow` tells it; undefined for undefined, without asking. */
export async function busAgo(io: Io, admin: Admin, seconds: number): Promise<number>;
export async function busAgo(
  io: Io,
  admin: Admin,
  seconds: number | undefined,
): Promise<number | undefined>;
export async function busAgo(
  io: Io,
  admin: Admin,
  seconds: number | undefined,
): Promise<number | undefined> {
  if (seconds === undefined) return undefined;
  return Math.max(0, Math.trunc(await busNow(io, admin) - 1_000 * seconds));
}

/** The same of what is read from a bus, and without one from a file: then by our clock, as nobody says another. */
export async function agoIn(io: Io, admin: Admin | undefined, seconds: number): Promise<number> {
  return admin === undefined ? io.now() - 1_000 * seconds : await busAgo(io, admin, seconds);
}

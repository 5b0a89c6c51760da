/**
 * The log of a room with a reducer, and what is stored beside it, by the admin API of a bus. `reducers/room_fold.ts`
 * uses it.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { type Batch, decodeBatch } from "../../brain/reducers/log/batch.ts";
import { CanonicalError } from "../../brain/reducers/state/canonical.ts";
import type { Admin } from "../bus/admin.ts";
import type { RoomSource } from "../reducers/room_fold.ts";
import { CommandError } from "../terminal/exit.ts";
import type { Flags } from "../program/flags.ts";

const About = z.looseObject({
  log_room_id: z.string(),
  epoch: z.string(),
  snapshots: z.array(z.looseObject({
    name: z.string(),
    offset: z.int(),
    at_ms: z.int(),
    position: z.int(),
  })),
  fork: z.looseObject({ room_id: z.string(), offset: z.int(), with_timers: z.boolean() })
    .nullable(),
  lost: z.array(z.looseObject({ to: z.int() })),
});
const Page = z.looseObject({
  epoch: z.string(),
  messages: z.array(z.looseObject({ offset: z.int(), data: z.object({ base64: z.base64() }) })),
  offset: z.int(),
  more: z.boolean(),
});

const notFound = (error: unknown) => error instanceof ArqonError && error.reason === "not-found";

function batchOf(room_id: string, offset: number, data: string): Batch {
  try {
    return decodeBatch(Uint8Array.fromBase64(data));
  } catch (error) {
    if (!(error instanceof CanonicalError)) throw error;
    throw new CommandError(`message ${offset} of ${room_id} cannot be read: ${error.message}`);
  }
}

/** The room on the bus that the options name. Rejects with `not-found` for a room without a reducer. */
export async function openReduced(
  admin: Admin,
  room_id: string,
  { tenant }: Flags<"tenant">,
): Promise<RoomSource> {
  const pathOf = (room: string) => `/v1/rooms/${tenant}/${encodeURIComponent(room)}`;
  const own = `${pathOf(room_id)}/reducer`;
  const about = admin.as(About, await admin.get(own));
  async function* batches(position: number): AsyncGenerator<Batch> {
    for (let after = position;;) {
      const path = `${pathOf(about.log_room_id)}/messages`;
      const page = admin.as(Page, await admin.get(path, { after }));
      // The log was recreated since the snapshot, so its position is invalid.
      if (position > 0 && page.epoch !== about.epoch) return yield* batches(0);
      for (const { offset, data } of page.messages) {
        yield batchOf(about.log_room_id, offset, data.base64);
        after = offset;
      }
      if (!page.more || page.messages.length === 0) return;
    }
  }
  return {
    room_id,
    snapshots: about.snapshots,
    origin: about.fork === null ? undefined : {
      ...about.fork,
      open: () => openReduced(admin, about.fork!.room_id, { tenant }),
    },
    lost: about.lost.at(-1)?.to ?? 0,
    async get(name) {
      try {
        return await admin.bytes(`${own}/${name}`);
      } catch (error) {
        if (notFound(error)) return undefined;
        throw error;
      }
    },
    batches,
  };
}

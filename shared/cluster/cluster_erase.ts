/**
 * A Shield's requests for an erasure: that a Brain erases entries of buckets that only Brains may write, and that every
 * Shield forgets what it remembers of a tenant's messages. Strict and bounded.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import { MEMBERS_BUCKET } from "../records/member.ts";
import { REDUCERS_BUCKET } from "../records/reducer_record.ts";
import { ROOMS_BUCKET } from "../records/room_update.ts";
import type { Spine } from "../spine/contract/spine.ts";

/** The most entries in one question. */
export const ERASED_MAX = 400;

const EraseQuestion = z.strictObject({
  tenant: z.string().refine(isId),
  bucket: z.enum([ROOMS_BUCKET, MEMBERS_BUCKET, REDUCERS_BUCKET]),
  /** Keys below the tenant. */
  keys: z.array(z.array(z.string().min(1).max(256)).max(8)).max(ERASED_MAX),
});
type EraseQuestion = z.output<typeof EraseQuestion>;

const ForgetQuestion = z.strictObject({ tenant: z.string().refine(isId) });

const EndedQuestion = z.strictObject({
  tenant: z.string().refine(isId),
  messages: z.array(z.strictObject({ room: z.string().max(256), id: z.string().max(256) }))
    .max(ERASED_MAX),
});

/** The growing messages that an erasure has removed: what a Shield is about to store of them does not stay. */
export const readErasedGrowing = (params: unknown) => EndedQuestion.parse(params);

/** The number of erased entries. */
export const EraseAnswer = z.strictObject({ erased: z.int().min(0) });

/** Of a Shield that has forgotten. */
export const ForgetAnswer = z.strictObject({ forgotten: z.literal(true) });

/** Forgets what this Shield remembers of the tenant's messages. */
export function forgetHere(forget: (tenant_id: string) => void, params: unknown) {
  forget(ForgetQuestion.parse(params).tenant);
  return { forgotten: true };
}

/** Whether only Brains write that bucket. */
export const isBrains = (bucket: string): bucket is EraseQuestion["bucket"] =>
  EraseQuestion.shape.bucket.safeParse(bucket).success;

/** Erases them. Rejects with `spine-unavailable`. */
export async function eraseEntries(spine: Pick<Spine, "keyValue">, params: unknown) {
  const { tenant, bucket, keys } = EraseQuestion.parse(params);
  const opened = await spine.keyValue(bucket, { leaves_stream: true });
  for (const key of keys) await opened.delete([tenant, ...key]);
  return { erased: keys.length };
}

/**
 * Which modules of reducers are being removed, so that nobody begins to need one meanwhile: one document in the bucket
 * `ARQON_REDUCERS`. A Brain writes it, looks again who needs a module, and removes it then; who is about to need
 * one notes that first, and reads this. So at least one of the two sees the other. Pure.
 */
import { z } from "zod";
import { requireStored, type StoredAs, storedBytes } from "./stored.ts";

/** Its key, which is no room's: no tenant has that name. */
export const REMOVAL_KEY = ["*", "modules"] as const;

const Document = z.object({
  /** Grows by one with each removal. */
  number: z.int().min(0),
  /** Hex SHA-256 of each; none: it is done. */
  modules: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
});

/** What is being removed. */
export type ReducerRemoval = StoredAs<typeof Document>;

/** A document as bytes. */
export const encodeRemoval: (document: ReducerRemoval) => Uint8Array = storedBytes;

/** The document of bytes; nothing was removed yet where there are none. Throws for what is no such document. */
export const decodeRemoval = (bytes: Uint8Array | undefined): ReducerRemoval =>
  bytes === undefined
    ? { number: 0, modules: [] }
    : requireStored(bytes, Document, "removal of modules");
